"""Prints the ten longest functions and the ten largest files: to look at together now and then, never a gate."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print both lists."""
    functions: list[tuple[int, str]] = []
    files: list[tuple[int, str]] = []
    for path in [*(ROOT / "aibox").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")]:
        text = path.read_text()
        name = str(path.relative_to(ROOT))
        files.append((text.count("\n"), name))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                functions.append((node.end_lineno - node.lineno + 1, f"{name}:{node.lineno} {node.name}"))
    for title, found in (("longest functions", functions), ("largest files", files)):
        print(f"\n── ten {title} (lines)")
        for lines, name in sorted(found, reverse=True)[:10]:
            print(f"{lines:5} {name}")


if __name__ == "__main__":
    main()
