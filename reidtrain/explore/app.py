"""The pages of a run, mounted into those of its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request

from reidprep.inspect.site import Fact, Page, Section, Site
from reidtrain.explore.contradictions import Contradictions
from reidtrain.explore.explorer import Explorer, Run
from reidtrain.explore.identities import IdentitiesPage
from reidtrain.explore.labels import LabelsPage
from reidtrain.explore.queries import QueriesPage
from reidtrain.explore.query import QueryPage
from reidtrain.explore.runs import RunsPage


def explore_section(runs: Sequence[Run], found: Mapping[str, Contradictions]) -> Section:
    """What `reidtrain explore` adds to the pages of `reidprep.inspect`.

    Args:
        runs: one, or two to compare; by the same images of the shards that are inspected.
        found: what the features of the first say about labels.
    """
    rankings = runs[0].rankings
    query_of = {row: query for query, row in enumerate(rankings.rows.tolist())}

    def pages(site: Site) -> Mapping[str, Page]:
        explorer = Explorer(site, runs)
        queries, query = QueriesPage(explorer), QueryPage(explorer)
        # What is done once, such as columns and templates, the first visitor need not wait for.
        queries.queries(Request({"type": "http", "query_string": b"", "headers": []}))
        return {
            "/queries": queries.queries,
            "/query/{index}": query.query,
            "/confused": IdentitiesPage(explorer).identities,
            **({"/runs": RunsPage(explorer).runs} if len(runs) > 1 else {}),
            "/labels": LabelsPage(explorer, found).labels,
            "/attention/{run}/{index}/{name}": query.picture,
        }

    def facts(row: int) -> list[Fact]:
        query = query_of.get(row)
        return [] if query is None else [("as a query", rankings.in_short(query), f"/query/{row}")]

    links = [("Queries", "/queries"), ("Identities", "/confused"), ("Labels", "/labels")]
    if len(runs) > 1:
        links.append(("Two runs", "/runs"))
    return Section(package="reidtrain.explore", links=links, pages=pages, facts=facts)
