"""Style sheets of the pages."""

from __future__ import annotations

from reidprep.drawing.palette import ESTIMATED, GROUND, css

THEME = f"""
:root {{
  color-scheme: light dark;
  --paper: #fff; --ink: #1c1e22; --faint: #5c6169; --rule: #dadde2; --card: #f4f5f7; --alert: #a31f1f; --bar: #b8338f;
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --paper: #16181c; --ink: #e6e8eb; --faint: #a2a8b1; --rule: #363a42; --card: #1f2228; --alert: #ff9a92;
    --bar: {css(ESTIMATED)};
  }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; padding: 20px; background: var(--paper); color: var(--ink); font: 14px/1.4 system-ui, sans-serif; }}
h1 {{ font-size: 22px; margin: 0; }}
h2 {{ font-size: 13px; margin: 12px 0 4px; color: var(--faint); }}
h3 {{ font-size: 14px; margin: 8px 0 0; overflow-wrap: anywhere; }}
p {{ margin: 2px 0; }}
"""
"""Colours, light or dark as the browser is set, and text; for any page."""

STYLE = f"""{THEME.rstrip()}
.facts {{ display: flex; flex-wrap: wrap; gap: 8px 48px; align-items: flex-start; }}
table {{ border-collapse: collapse; font-size: 13px; }}
th, td {{ padding: 1px 14px 1px 0; text-align: left; vertical-align: top; font-weight: normal; }}
th {{ color: var(--faint); }}
td {{ overflow-wrap: anywhere; }}
.counts td, .counts th + th {{ text-align: right; font-variant-numeric: tabular-nums; }}
.bars {{ display: grid; grid-template-columns: auto 140px auto; gap: 1px 10px; align-items: center; font-size: 13px; }}
.bars > :nth-child(3n) {{ text-align: right; font-variant-numeric: tabular-nums; }}
.bar {{ height: 9px; background: var(--rule); }}
.bar b {{ display: block; height: 100%; background: var(--bar); }}
.legend {{
  position: sticky; top: 0; z-index: 1; margin: 14px -20px; padding: 7px 20px; display: flex; flex-wrap: wrap;
  gap: 4px 16px; background: var(--paper); border-block: 1px solid var(--rule); font-size: 13px;
}}
.legend span {{ white-space: nowrap; }}
.legend .toggles {{ margin-left: auto; }}
.toggles label {{ margin-left: 12px; }}
.toggles input {{ vertical-align: -2px; }}
.swatch {{ width: 22px; height: 18px; vertical-align: -4px; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 752px), 752px)); gap: 16px; }}
article {{ padding: 12px; background: var(--card); border-radius: 6px; min-width: 0; scroll-margin-top: 60px; }}
.views {{ display: flex; gap: 10px; overflow-x: auto; }}
figure {{ margin: 0; flex: none; }}
figcaption {{ height: 18px; font-size: 12px; line-height: 16px; color: var(--faint); white-space: nowrap; }}
figcaption i {{ display: inline-block; width: 10px; height: 10px; margin-right: 5px; border: 1px solid {css(GROUND)}; }}
.views svg, .views img {{ display: block; }}
.whole img {{ height: 424px; }}
.parts {{ display: flex; flex-direction: column; justify-content: space-between; flex: none; }}
.parts img {{ height: 90px; }}
.views text {{ font: 13px system-ui, sans-serif; dominant-baseline: central; }}
.about {{ color: var(--faint); }}
.flag {{ display: inline-block; padding: 0 7px; border: 1px solid; border-radius: 9px; font-size: 12px; }}
.flag, .problem {{ color: var(--alert); }}
footer {{ margin-top: 20px; color: var(--faint); font-size: 13px; }}
body:has(#show-boxes:not(:checked)) .boxes,
body:has(#show-limbs:not(:checked)) .limbs,
body:has(#show-joints:not(:checked)) .joints {{ display: none; }}
"""
"""The page of a preview."""
