"""The variants that the papers' tables compare, by name."""

from __future__ import annotations

from reidprep.skeleton import PARTS
from reidtrain.models.attention_driven import AttentionDrivenConfig
from reidtrain.models.self_attention import SelfAttentionConfig

ATTENTION_DRIVEN: dict[str, AttentionDrivenConfig] = {
    "aligned": AttentionDrivenConfig(attention="none", fusion="concatenation"),
    "fc": AttentionDrivenConfig(attention="none", fusion="fc"),
    "global-fc": AttentionDrivenConfig(attention="none", fusion="global-fc"),
    "inter": AttentionDrivenConfig(attention="none"),
    "intra": AttentionDrivenConfig(fusion="concatenation"),
    "intra+inter": AttentionDrivenConfig(),
    "intra+inter-plain": AttentionDrivenConfig(attention="plain"),
    **{name: AttentionDrivenConfig(branches=(name,)) for name in ("whole", *PARTS)},
    "parts": AttentionDrivenConfig(branches=PARTS),
}
"""Paper 1: Tables 6 and 9 (`aligned`, also the baseline on strips and Table 9's concatenation; `fc` and `global-fc`,
`inter`, `intra`, `intra+inter`), Table 8 (`intra+inter-plain`) and Table 7, with intra-attention (`whole` to
`parts`)."""

SELF_ATTENTION: dict[str, SelfAttentionConfig] = {
    "resnet": SelfAttentionConfig(dilation=False, stage6=False, multi_level=False),
    "dil": SelfAttentionConfig(multi_level=False),
    "dil-no-stage6": SelfAttentionConfig(stage6=False, multi_level=False),
    "dil+multi": SelfAttentionConfig(),
}
"""Paper 2, Table 1: settings 1-3 (`resnet`), 4 (`dil`) and 5-8 (`dil+multi`), which differ in their losses only."""
