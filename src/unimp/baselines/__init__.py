"""Methods to compare with. A new one is one file here, one line in `OWN`, one test file.

Or it is a `MethodEntry` of another package, named by the entry point group `unimp.baselines`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from unimp.core.errors import ConfigError, did_you_mean
from unimp.core.registry import BrokenContract, Registry

if TYPE_CHECKING:
    from unimp.baselines.baseline import Method
    from unimp.core.config import Config
    from unimp.core.search_space import Dimension

Input = Literal["ids", "text", "image", "time", "attributes"]


@dataclass(frozen=True)
class MethodEntry:
    """What is known of a method without importing it."""

    path: str
    """`module:Class`, imported when the method is first used."""
    title: str
    """The name that tables print."""
    paper: str
    """Authors, venue and year; empty where there is nothing to cite."""
    inputs: tuple[Input, ...] = ("ids",)
    """What the method reads of an item or an event; `ids` is the plain log."""
    seeded: bool = True
    """False: there is nothing random in it, so one seed is all there is to run."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Config values that make this entry what it is, where several entries share one class."""
    fixed: tuple[str, ...] = ()
    """Settings that make it what it is, and that tuning leaves alone."""
    test: str = ""
    """The file with its tests, from the repository root."""

    def load(self) -> type[Method]:
        """Import the class."""
        module, _, name = self.path.partition(":")
        loaded: type[Method] = getattr(importlib.import_module(module), name)
        return loaded

    def config(self, overrides: Mapping[str, Any] | None = None, place: str = "config") -> Config:
        """The entry's settings with `overrides` upon them, validated; ConfigError names `place`."""
        return self.load().config_class.parse({**self.settings, **(overrides or {})}, place)

    def search_space(self) -> dict[str, Dimension]:
        """What tuning may vary, by dotted key; empty for a method that cannot be tuned."""
        space = self.load().config_class.search_space
        return {key: dimension for key, dimension in space.items() if key not in self.fixed}

    def make(self, overrides: Mapping[str, Any] | None = None) -> Method:
        """An untrained method."""
        return self.load()(self.config(overrides))


def checked_method(name: str, found: Any) -> MethodEntry:
    """The entry of a method from another package; BrokenContract when it is none."""
    if not isinstance(found, MethodEntry):
        raise BrokenContract("is no MethodEntry of unimp.baselines; name one")
    for attribute in ("config_class", "fit", "score"):
        if not hasattr(found.load(), attribute):
            raise BrokenContract(f"{found.path} has no `{attribute}`; give the class one")
    return found


OWN: dict[str, MethodEntry] = {
    "pop": MethodEntry(
        "unimp.baselines.pop:Pop", "Pop", "", seeded=False, test="tests/baselines/test_pop.py"
    ),
    "itemknn": MethodEntry(
        "unimp.baselines.itemknn:ItemKNN",
        "ItemKNN",
        "Sarwar et al., WWW 2001",
        seeded=False,
        fixed=("recency",),
        test="tests/baselines/test_itemknn.py",
    ),
    "itemknn-recency": MethodEntry(
        "unimp.baselines.itemknn:ItemKNN",
        "ItemKNN with recency",
        "Sarwar et al., WWW 2001; Ding & Li, CIKM 2005",
        seeded=False,
        settings={"recency": 0.6},
        test="tests/baselines/test_itemknn.py",
    ),
    "ease": MethodEntry(
        "unimp.baselines.ease:EASE",
        "EASE",
        "Steck, WWW 2019",
        seeded=False,
        test="tests/baselines/test_ease.py",
    ),
    "content-text": MethodEntry(
        "unimp.baselines.contentknn:ContentKNN",
        "Content neighbours (text)",
        "",
        inputs=("text",),
        seeded=False,
        fixed=("image_share",),
        test="tests/baselines/test_contentknn.py",
    ),
    "content-image": MethodEntry(
        "unimp.baselines.contentknn:ContentKNN",
        "Content neighbours (pictures)",
        "",
        inputs=("image",),
        seeded=False,
        settings={"content": "image"},
        fixed=("image_share",),
        test="tests/baselines/test_contentknn.py",
    ),
    "content-both": MethodEntry(
        "unimp.baselines.contentknn:ContentKNN",
        "Content neighbours (text and pictures)",
        "",
        inputs=("text", "image"),
        seeded=False,
        settings={"content": "both"},
        test="tests/baselines/test_contentknn.py",
    ),
    "mf": MethodEntry(
        "unimp.baselines.mf:MF",
        "MF (BPR)",
        "Rendle et al., UAI 2009",
        test="tests/baselines/test_mf.py",
    ),
    "macr": MethodEntry(
        "unimp.baselines.macr:MACR",
        "MACR (MF)",
        "Wei et al., KDD 2021",
        test="tests/baselines/test_macr.py",
    ),
    "lightgcn": MethodEntry(
        "unimp.baselines.lightgcn:LightGCN",
        "LightGCN",
        "He et al., SIGIR 2020",
        test="tests/baselines/test_lightgcn.py",
    ),
    "ultragcn": MethodEntry(
        "unimp.baselines.ultragcn:UltraGCN",
        "UltraGCN",
        "Mao et al., CIKM 2021",
        test="tests/baselines/test_ultragcn.py",
    ),
    "vbpr": MethodEntry(
        "unimp.baselines.vbpr:VBPR",
        "VBPR",
        "He & McAuley, AAAI 2016",
        ("ids", "image"),
        test="tests/baselines/test_vbpr.py",
    ),
    "causalrec": MethodEntry(
        "unimp.baselines.causalrec:CausalRec",
        "CausalRec",
        "Qiu et al., ACM MM 2021",
        ("ids", "image"),
        test="tests/baselines/test_causalrec.py",
    ),
    "mmgcl": MethodEntry(
        "unimp.baselines.mmgcl:MMGCL",
        "MMGCL",
        "Yi et al., SIGIR 2022",
        ("ids", "text", "image"),
        test="tests/baselines/test_mmgcl.py",
    ),
    "mmssl": MethodEntry(
        "unimp.baselines.mmssl:MMSSL",
        "MMSSL",
        "Wei et al., WWW 2023",
        ("ids", "text", "image"),
        test="tests/baselines/test_mmssl.py",
    ),
    "sasrec": MethodEntry(
        "unimp.baselines.sasrec:SASRec",
        "SASRec (full cross-entropy)",
        "Kang & McAuley, ICDM 2018; Klenitskiy & Vasilev, RecSys 2023",
        test="tests/baselines/test_sasrec.py",
    ),
    "hgn": MethodEntry(
        "unimp.baselines.hgn:HGN",
        "HGN",
        "Ma et al., KDD 2019",
        test="tests/baselines/test_hgn.py",
    ),
    "hgn-ce": MethodEntry(
        "unimp.baselines.hgn:HGN",
        "HGN (full cross-entropy)",
        "Ma et al., KDD 2019",
        settings={"loss": "cross-entropy"},
        test="tests/baselines/test_hgn.py",
    ),
    "gru4rec": MethodEntry(
        "unimp.baselines.gru4rec:GRU4Rec",
        "GRU4Rec (BPR-max)",
        "Hidasi et al., ICLR 2016; Hidasi & Karatzoglou, CIKM 2018",
        test="tests/baselines/test_gru4rec.py",
    ),
    "gru4rec-ce": MethodEntry(
        "unimp.baselines.gru4rec:GRU4Rec",
        "GRU4Rec (full cross-entropy)",
        "Hidasi et al., ICLR 2016; Hidasi & Karatzoglou, CIKM 2018",
        settings={"loss": "cross-entropy", "lr": 1e-3},
        fixed=("score_penalty", "popularity_power"),
        test="tests/baselines/test_gru4rec.py",
    ),
    "bert4rec": MethodEntry(
        "unimp.baselines.bert4rec:BERT4Rec",
        "BERT4Rec",
        "Sun et al., CIKM 2019",
        test="tests/baselines/test_bert4rec.py",
    ),
    "gsasrec": MethodEntry(
        "unimp.baselines.gsasrec:GSASRec",
        "gSASRec",
        "Petrov & Macdonald, RecSys 2023",
        test="tests/baselines/test_gsasrec.py",
    ),
    "hstu": MethodEntry(
        "unimp.baselines.hstu:HSTU",
        "HSTU",
        "Zhai et al., ICML 2024",
        inputs=("ids", "time"),
        test="tests/baselines/test_hstu.py",
    ),
    "bsarec": MethodEntry(
        "unimp.baselines.bsarec:BSARec",
        "BSARec",
        "Shin et al., AAAI 2024",
        test="tests/baselines/test_bsarec.py",
    ),
    "fmlprec": MethodEntry(
        "unimp.baselines.fmlprec:FMLPRec",
        "FMLP-Rec (full cross-entropy)",
        "Zhou et al., WWW 2022",
        test="tests/baselines/test_fmlprec.py",
    ),
    "wearec": MethodEntry(
        "unimp.baselines.wearec:WEARec",
        "WEARec",
        "Xu et al., AAAI 2026",
        test="tests/baselines/test_wearec.py",
    ),
    "esasrec": MethodEntry(
        "unimp.baselines.esasrec:ESASRec",
        "eSASRec",
        "Tikhonovich et al., RecSys 2025",
        test="tests/baselines/test_esasrec.py",
    ),
    "s3rec": MethodEntry(
        "unimp.baselines.s3rec:S3Rec",
        "S3-Rec",
        "Zhou et al., CIKM 2020",
        inputs=("ids", "attributes"),
        test="tests/baselines/test_s3rec.py",
    ),
    "unisrec": MethodEntry(
        "unimp.baselines.unisrec:UniSRec",
        "UniSRec",
        "Hou et al., KDD 2022",
        inputs=("ids", "text"),
        test="tests/baselines/test_unisrec.py",
    ),
    "tiger": MethodEntry(
        "unimp.baselines.tiger:TIGER",
        "TIGER",
        "Rajput et al., NeurIPS 2023",
        inputs=("ids", "text"),
        test="tests/baselines/test_tiger.py",
    ),
    "p5": MethodEntry(
        "unimp.baselines.p5:P5",
        "P5",
        "Geng et al., RecSys 2022",
        inputs=("ids", "text"),
        test="tests/baselines/test_p5.py",
    ),
    "vip5": MethodEntry(
        "unimp.baselines.vip5:VIP5",
        "VIP5",
        "Geng et al., EMNLP Findings 2023",
        inputs=("ids", "text", "image"),
        test="tests/baselines/test_vip5.py",
    ),
}
"""The methods of this room."""

METHODS: Registry[MethodEntry] = Registry("method", "unimp.baselines", OWN, checked_method)
"""Every method by the name it has on the command line, those of installed packages included."""


def find_method(name: str, methods: Mapping[str, MethodEntry] = METHODS) -> MethodEntry:
    """The entry called `name`; ConfigError says which names are near."""
    if name not in methods:
        raise ConfigError(f"unknown method {name!r}{did_you_mean(name, methods)}")
    return methods[name]
