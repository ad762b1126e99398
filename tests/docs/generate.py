"""`make docs`: writes the generated pages from the code's own tables. A test fails when one is stale."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from providers.registry import PROVIDERS
from tests.docs import (
    asyncapi,
    cli_page,
    database_page,
    event_schemas,
    providers_page,
    reference_pages,
    states_page,
)

DOCS: Final = Path(__file__).parents[2] / "docs"

PAGES: Final[dict[str, Callable[[], str]]] = {
    "states.md": states_page.states,
    "reference/api.md": reference_pages.api,
    "reference/cli.md": cli_page.cli,
    "reference/errors.md": reference_pages.errors,
    "reference/metrics.md": reference_pages.metrics,
    "reference/providers.md": providers_page.providers,
    **{f"reference/providers/{name}.md": partial(providers_page.provider, name) for name in PROVIDERS},
    "reference/settings.md": reference_pages.settings,
    "reference/topics.md": reference_pages.topics,
    "reference/asyncapi.yaml": asyncapi.asyncapi,
    **{f"reference/schemas/{name}": partial(str, content) for name, content in event_schemas.files().items()},
}


DATABASE: Final = "reference/database.md"  # made from a running server, which a test has already


def main() -> None:
    """Write every page that has changed, and name it."""
    for name, make in {**PAGES, DATABASE: database_page.of_new_cluster}.items():
        path, content = DOCS / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
