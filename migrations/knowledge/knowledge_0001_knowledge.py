"""Items with their rights, passages, audiences, generations of the index, and the wiki."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "knowledge_0001"
down_revision = None
branch_labels = ("knowledge",)
depends_on = None

TABLES = ("item", "chunk", "audience", "generation", "placed", "wiki", "wiki_version", "wiki_link")


def upgrade() -> None:
    create_schema("knowledge")
    op.execute("""
        CREATE TABLE knowledge.item (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            title text NOT NULL,
            owner uuid NOT NULL,
            creator uuid NOT NULL,
            visibility text NOT NULL CHECK (visibility IN ('private', 'shared', 'restricted')),
            audience text[] NOT NULL DEFAULT '{}',
            grants uuid[] NOT NULL DEFAULT '{}',
            tags text[] NOT NULL DEFAULT '{}',
            archived boolean NOT NULL DEFAULT false,
            rights_version integer NOT NULL DEFAULT 1,
            rights_indexed integer NOT NULL DEFAULT 0,
            source text NOT NULL CHECK (source IN ('upload', 'text', 'url', 'wiki')),
            source_url text,
            topic text,
            name text NOT NULL,
            media_type text NOT NULL DEFAULT '',
            charset text NOT NULL DEFAULT '',
            size bigint NOT NULL,
            sha256 text NOT NULL,
            original text NOT NULL,
            revision integer NOT NULL DEFAULT 1,
            served integer NOT NULL DEFAULT 0,
            stage text NOT NULL CHECK (stage IN ('uploaded', 'parsed', 'chunked', 'embedded', 'indexed', 'failed')),
            error_code text,
            error text,
            pages integer,
            chunks integer NOT NULL DEFAULT 0,
            done integer NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, id)
        )""")
    op.execute("CREATE INDEX ix_item_owner ON knowledge.item (tenant, owner)")
    op.execute("""
        CREATE TABLE knowledge.chunk (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            item uuid NOT NULL,
            revision integer NOT NULL,
            n integer NOT NULL,
            text text NOT NULL,
            section text NOT NULL,
            page integer,
            context text,
            PRIMARY KEY (tenant, id),
            UNIQUE (tenant, item, revision, n),
            FOREIGN KEY (tenant, item) REFERENCES knowledge.item (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE knowledge.audience (
            tenant uuid NOT NULL,
            tag text NOT NULL,
            user_id uuid NOT NULL,
            PRIMARY KEY (tenant, tag, user_id)
        )""")
    op.execute("CREATE INDEX ix_audience_user ON knowledge.audience (tenant, user_id)")
    op.execute("""
        CREATE TABLE knowledge.generation (
            tenant uuid NOT NULL,
            id integer NOT NULL,
            collection text NOT NULL,
            model text NOT NULL,
            dimension integer NOT NULL,
            state text NOT NULL CHECK (state IN ('building', 'active', 'retired')),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, id)
        )""")
    for state in ("active", "building"):
        op.execute(
            f"CREATE UNIQUE INDEX ix_generation_{state} ON knowledge.generation (tenant) WHERE state = '{state}'"
        )
    op.execute("""
        CREATE TABLE knowledge.placed (
            tenant uuid NOT NULL,
            generation integer NOT NULL,
            item uuid NOT NULL,
            revision integer NOT NULL,
            PRIMARY KEY (tenant, generation, item),
            FOREIGN KEY (tenant, generation) REFERENCES knowledge.generation (tenant, id) ON DELETE CASCADE,
            FOREIGN KEY (tenant, item) REFERENCES knowledge.item (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE knowledge.wiki (
            tenant uuid NOT NULL,
            topic text NOT NULL,
            item uuid NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (tenant, topic),
            UNIQUE (tenant, item),
            FOREIGN KEY (tenant, item) REFERENCES knowledge.item (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE knowledge.wiki_version (
            tenant uuid NOT NULL,
            topic text NOT NULL,
            version integer NOT NULL,
            key text NOT NULL,
            author uuid NOT NULL,
            size integer NOT NULL,
            at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, topic, version),
            FOREIGN KEY (tenant, topic) REFERENCES knowledge.wiki (tenant, topic) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE knowledge.wiki_link (
            tenant uuid NOT NULL,
            topic text NOT NULL,
            target text NOT NULL,
            PRIMARY KEY (tenant, topic, target),
            FOREIGN KEY (tenant, topic) REFERENCES knowledge.wiki (tenant, topic) ON DELETE CASCADE
        )""")
    op.execute("CREATE INDEX ix_wiki_link_target ON knowledge.wiki_link (tenant, target)")
    for table in TABLES:
        confine("knowledge", table)
        # What looks for work in all tenants reads generations; everything else is done in a turn of its tenant.
        system = ("SELECT",) if table == "generation" else ()
        grant("knowledge", table, app=("SELECT", "INSERT", "UPDATE", "DELETE"), system=system)


def downgrade() -> None:
    drop_schema("knowledge")
