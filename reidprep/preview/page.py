"""The page: one HTML file with every image inside it, which loads nothing and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from reidprep.drawing.palette import BOX_COLOURS, BOX_NAMES, GROUND, LIMB_COLOURS, Colour, css
from reidprep.drawing.scene import Joint, compose
from reidprep.drawing.style import STYLE
from reidprep.drawing.svg import data_uri, draw_svg, joint_svg
from reidprep.files import TOOL
from reidprep.preview.shown import Shown, facts, flag_names, source_title
from reidprep.records import SPLITS, SplitCounts
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import JOINTS


def document(title: str, style: str, body: str) -> str:
    """A whole HTML document that loads nothing and runs nothing; `title` is text, the others are as they are."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def page(shards: ShardSet, what: str, cards: Sequence[str]) -> str:
    """The whole document.

    Args:
        shards: the shards, for the header.
        what: which samples are shown, in words.
        cards: what `card` gave for each.
    """
    title = f"{shards.plan.poses.dataset.name}: aligned crops"
    toggles = "".join(
        f'<label><input type="checkbox" id="show-{layer}" checked> {layer}</label>'
        for layer in ("boxes", "limbs", "joints")
    )
    body = f"""<header>
<h1>{escape(title)}</h1>
<p>{escape(what)}</p>
<div class="facts">
<section><h2>Samples</h2>{_counts(shards)}<h2>Flags</h2>{_flags(shards)}</section>
<section><h2>Joints filled, share of all samples</h2>{_bars(shards.summary.joints_filled)}</section>
<section><h2>Parameters</h2>{_parameters(shards.manifest.parameters)}</section>
</div>
</header>
<div class="legend">{_legend()}<span class="toggles">{toggles}</span></div>
<main>
{"".join(cards)}</main>
<footer>Written by {escape(TOOL)}. Point at a joint for its name and score.</footer>"""
    return document(title, STYLE, body)


def card(shown: Shown) -> str:
    """The drawing, the crops and the caption of one sample."""
    sample = shown.sample
    flags = "".join(f'<span class="flag">{escape(name)}</span>' for name in flag_names(sample.flags))
    problem = f'<p class="problem">{escape(shown.problem)}</p>' if shown.problem else ""
    parts = "".join(
        f'<figure>{_caption(name, colour)}<img alt="{escape(name)}" src="{data_uri(part)}"></figure>'
        for name, colour, part in zip(BOX_NAMES[1:], BOX_COLOURS[1:], sample.parts, strict=True)
    )
    return (
        f'<article id="sample-{shown.index}"><div class="views">'
        f"<figure>{_caption(source_title(shown))}"
        f"{draw_svg(compose(sample, shown.source), f'joints and boxes of {sample.path}')}</figure>"
        f'<figure class="whole">{_caption(BOX_NAMES[0], BOX_COLOURS[0])}'
        f'<img alt="{BOX_NAMES[0]}" src="{data_uri(sample.whole)}"></figure>'
        f'<div class="parts">{parts}</div></div>'
        f'<h3>{escape(sample.path)}</h3><p class="about">{escape(", ".join(facts(shown)))} {flags}</p>'
        f"{problem}</article>\n"
    )


def _caption(text: str, colour: Colour | None = None) -> str:
    swatch = f'<i style="background:{css(colour)}"></i>' if colour else ""
    return f"<figcaption>{swatch}{escape(text)}</figcaption>"


def _counts(shards: ShardSet) -> str:
    sets = {split: ShardSet.open(shards.path, split) for split in SPLITS}
    counts = [SplitCounts.of(split, rows.pids.tolist(), rows.camids.tolist()) for split, rows in sets.items()]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", "images", "ids", "cameras", "junk"))
    body = "".join(
        f'<tr><th scope="row">{of.split}</th><td>{of.images:,}</td><td>{of.identities:,}</td>'
        f"<td>{of.cameras:,}</td><td>{of.junk:,}</td></tr>"
        for of in counts
    )
    return f'<table class="counts"><tr>{head}</tr>{body}</table>'


def _flags(shards: ShardSet) -> str:
    return _table(
        (name.lower().replace("_", " "), f"{count:,} ({count / max(1, len(shards)):.1%})")
        for name, count in shards.summary.flags.items()
    )


def _bars(shares: Iterable[float]) -> str:
    rows = "".join(
        f'<div>{name}</div><div class="bar"><b style="width:{min(1.0, share):.1%}"></b></div><div>{share:.1%}</div>'
        for name, share in zip(JOINTS, shares, strict=True)
    )
    return f'<div class="bars">{rows}</div>'


def _parameters(plan: Mapping[str, Any]) -> str:
    """The plan, nested names joined by dots, hashes cut short."""
    return _table((name, value[:12] if name.endswith("sha256") else value) for name, value in _flat(plan))


def _flat(plan: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in plan.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
    return f"<table>{body}</table>"


def _legend() -> str:
    ground = f'<svg class="swatch" viewBox="0 0 22 18"><rect width="22" height="18" fill="{css(GROUND)}"/>'
    joints = [
        (f"{ground}{joint_svg(Joint(name, 11, 9, filled, float('nan')))}</svg>", f"{name} joint")
        for filled, name in ((False, "measured"), (True, "estimated"))
    ]
    limbs = [
        (f'{ground}<path d="M3 9h16" stroke="{css(colour)}" stroke-width="3"/></svg>', f"{side} limb")
        for side, colour in LIMB_COLOURS.items()
    ]
    thin = (f'{ground}<path d="M3 9h16" stroke="#fff" stroke-width="1.2"/></svg>', "thin: an end is estimated")
    outline = f'{ground}<rect x="4" y="4" width="14" height="10" fill="none" stroke-width="2" stroke'
    boxes = [(f'{outline}="{css(colour)}"/></svg>', name) for name, colour in zip(BOX_NAMES, BOX_COLOURS, strict=True)]
    return "".join(f"<span>{swatch} {escape(text)}</span>" for swatch, text in (*joints, *limbs, thin, *boxes))
