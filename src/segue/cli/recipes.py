"""``segue recipes``: what can be trained."""

from rich.console import Console
from rich.table import Table


def recipes() -> None:
    """List the recipes: paper, pieces, published score."""
    from segue.recipes.catalogue import RECIPES
    from segue.recipes.pairs import PAIRS

    table = Table(
        title="Recipes", caption=f"Built-in pairs: {', '.join(PAIRS)}; or a YAML file, or two folders"
    )
    for heading in ("recipe", "paper", "pieces", "published mIoU"):
        table.add_column(heading)
    for name, recipe in RECIPES.items():
        published = "\n".join(f"{score:.1f}  {pair}" for pair, score in recipe.published.items())
        table.add_row(name, recipe.paper, recipe.pieces, published or "-")
    Console().print(table)
