"""Makes secrets after their makers' formats, in the sentences and files in which people paste them."""

import base64
import random
import string
from collections.abc import Callable

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
B64 = ALNUM + "+/"
URL = ALNUM + "-_"

FRAMES = (
    "My key is {0}, please keep it.",
    "export API_KEY={0}",
    'config = {{"token": "{0}"}}',
    "curl -H 'X-Api-Key: {0}' https://api.example.com/v1",
    "{0}",
    "Der Schlüssel lautet {0}.",
    "# old one\n{0}\n# new one follows",
    "it says: invalid credentials ({0})",
)


def _letters(alphabet: str, count: int) -> Callable[[random.Random], str]:
    return lambda chance: "".join(chance.choices(alphabet, k=count))


def _after(prefix: str, alphabet: str, count: int, suffix: str = "") -> Callable[[random.Random], str]:
    return lambda chance: prefix + _letters(alphabet, count)(chance) + suffix


def _jwt(chance: random.Random) -> str:
    parts = ('{"alg":"RS256"}', f'{{"sub":"{chance.randrange(10**9)}","exp":{chance.randrange(10**9)}}}')
    heads = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join((*heads, _letters(URL, 86)(chance)))


def _private_key(kind: str) -> Callable[[random.Random], str]:
    def make(chance: random.Random) -> str:
        lines = "\n".join(_letters(B64, 64)(chance) for _ in range(chance.randint(3, 20)))
        return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----"

    return make


FORMATS: dict[str, Callable[[random.Random], str]] = {
    "aws": _after("AKIA", string.ascii_uppercase + "234567", 16),
    "aws session": _after("ASIA", string.ascii_uppercase + "234567", 16),
    "github": _after("ghp_", ALNUM, 36),
    "github app": _after("ghs_", ALNUM, 36),
    "github fine": _after("github_pat_", ALNUM, 82),
    "gitlab": _after("glpat-", URL, 20),
    "gitlab runner": _after("glrt-", URL, 20),
    "openai": _after("sk-", ALNUM, 48),
    "openai project": _after("sk-proj-", URL, 120),
    "anthropic": _after("sk-ant-api03-", URL, 93),
    "openrouter": _after("sk-or-v1-", HEX, 64),
    "groq": _after("gsk_", ALNUM, 52),
    "xai": _after("xai-", ALNUM, 80),
    "perplexity": _after("pplx-", ALNUM, 48),
    "replicate": _after("r8_", ALNUM, 37),
    "hugging face": _after("hf_", string.ascii_letters, 34),
    "google": _after("AIza", URL, 35),
    "google oauth": _after("GOCSPX-", URL, 28),
    "slack bot": _after("xoxb-", string.digits, 12, "-1234567890123-a1B2c3D4e5F6g7H8i9J0k1L2"),
    "slack hook": _after("hooks.slack.com/services/T0A1B2C3D/B0A1B2C3D/", ALNUM, 24),
    "discord hook": _after("discord.com/api/webhooks/123456789012345678/", URL, 68),
    "telegram": _after("1234567890:AA", URL, 33),
    "stripe": _after("sk_live_", ALNUM, 24),
    "stripe restricted": _after("rk_live_", ALNUM, 24),
    "stripe hook": _after("whsec_", ALNUM, 32),
    "square": _after("sq0atp-", URL, 22),
    "shopify": _after("shpat_", HEX, 32),
    "twilio": _after("SK", HEX, 32),
    "sendgrid": _after("SG.", URL, 22, ".abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"),
    "mailgun": _after("key-", HEX, 32),
    "mailchimp": _after("", HEX, 32, "-us12"),
    "digitalocean": _after("dop_v1_", HEX, 64),
    "databricks": _after("dapi", HEX, 32),
    "vault": _after("hvs.", ALNUM, 90),
    "terraform": _after("", ALNUM, 14, ".atlasv1." + "aB3dE6gH9j" * 6),
    "docker": _after("dckr_pat_", URL, 27),
    "npm": _after("npm_", ALNUM, 36),
    "pypi": _after("pypi-AgEIcHlwaS5vcmc", URL, 120),
    "rubygems": _after("rubygems_", HEX, 48),
    "grafana": _after("glsa_", ALNUM, 32, "_0a1b2c3d"),
    "new relic": _after("NRAK-", string.ascii_uppercase + string.digits, 27),
    "linear": _after("lin_api_", ALNUM, 40),
    "notion": _after("ntn_", ALNUM, 46),
    "figma": _after("figd_", URL, 40),
    "atlassian": _after("ATATT3xFfGF0", URL, 170),
    "supabase": _after("sbp_", HEX, 40),
    "azure storage": lambda chance: _letters(B64, 86)(chance) + "==",
    "jwt": _jwt,
    "rsa": _private_key("RSA PRIVATE KEY"),
    "openssh": _private_key("OPENSSH PRIVATE KEY"),
    "password": lambda chance: "Aa1" + _letters(ALNUM + "!#%*", 15)(chance) + "9z",
}
FRAMED = {
    "azure storage": "DefaultEndpointsProtocol=https;AccountName=box;AccountKey={0};EndpointSuffix=core.windows.net",
    "password": "password = '{0}'",
}
"""Secrets that have no form of their own stand where what they are is said."""


def secrets_in_texts(count: int) -> list[tuple[str, str, str]]:
    """The format's name, a text, and the secret in it. The same every time."""
    chance = random.Random(50)
    made = []
    for number in range(count):
        name = list(FORMATS)[number % len(FORMATS)]
        secret = FORMATS[name](chance)
        frame = FRAMED.get(name) or chance.choice(FRAMES)
        made.append((name, frame.format(secret), secret))
    return made
