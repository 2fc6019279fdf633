"""What providers charge: price check, import, reprice and schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli import price
from setpoint.cli.options import Json, ModelName, Store, chosen_store, say, show


@price.command("check")
def check(
    model: Annotated[str, typer.Argument(help="The model. [default: all]")] = "",
    store: Store = None,
    json: Json = False,
) -> None:
    """Which calls in traffic have no price, and why? Exit code 1 when there are some."""
    from setpoint.project.keeping import ship_if_free
    from setpoint.project.price_book import check_prices

    path = chosen_store(store)
    ship_if_free(path)
    show(check_prices(path, model), as_json=json)


@price.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A price list in the form of LiteLLM's.")],
    since: Annotated[str, typer.Option("--since", help="From when on its prices are paid (UTC).")],
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Models whose name fits, such as 'gpt-5*'; repeatable.")
    ] = None,
) -> None:
    """Print a public price list as entries for prices.yaml; what cannot be read is named."""
    from setpoint.core.clock import parse_time
    from setpoint.declare.write import prices_yaml
    from setpoint.project.price_book import import_prices

    found = import_prices(file, since=parse_time(since), only=only or ())
    for line in found.lines:
        say(line)
    print(prices_yaml(found.prices), end="")


@price.command("reprice")
def reprice(
    model: ModelName,
    since: Annotated[str | None, typer.Option("--since", help="Only calls from then on. [default: all]")] = None,
    store: Store = None,
) -> None:
    """Price the calls of a model by the prices in force, as apply and tick do; a second time changes nothing."""
    from setpoint.core.clock import parse_time
    from setpoint.predictions.pricing import reprice as reprice_calls
    from setpoint.store.layout import Layout

    layout = Layout.open(chosen_store(store))
    start = None if since is None else parse_time(since, layout.model(model).timezone)
    done = reprice_calls(layout, layout.model(model).name, layout.price_book(), since=start)
    print("\n".join(one.text for one in done) or "nothing to change")


@price.command("schema")
def schema() -> None:
    """Print the JSON Schema of prices.yaml, for editors."""
    import json

    from setpoint.declare.json_schema import prices_schema

    print(json.dumps(prices_schema(), indent=2))
