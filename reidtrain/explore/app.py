"""The pages of a run, mounted into those of its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reidprep.inspect.site import Fact, Page, Section, Site
from reidtrain.explore.explorer import Explorer, Run
from reidtrain.explore.queries import QueriesPage
from reidtrain.explore.query import QueryPage


def explore_section(runs: Sequence[Run]) -> Section:
    """What `reidtrain explore` adds to the pages of `reidprep.inspect`.

    Args:
        runs: one, or two to compare; by the same images of the shards that are inspected.
    """
    rankings = runs[0].rankings
    query_of = {row: query for query, row in enumerate(rankings.rows.tolist())}

    def pages(site: Site) -> Mapping[str, Page]:
        explorer = Explorer(site, runs)
        query = QueryPage(explorer)
        return {
            "/queries": QueriesPage(explorer).queries,
            "/query/{index}": query.query,
            "/attention/{run}/{index}/{name}": query.picture,
        }

    def facts(row: int) -> list[Fact]:
        query = query_of.get(row)
        return [] if query is None else [("as a query", rankings.in_short(query), f"/query/{row}")]

    return Section(package="reidtrain.explore", links=[("Queries", "/queries")], pages=pages, facts=facts)
