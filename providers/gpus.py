"""The GPU table: one display name per GPU type, and the nominal size of its memory.

Marketplaces, drivers and people spell the same GPU in different ways: `RTX_4090`,
`geforcertx4090-pcie-24gb`, `NVIDIA GeForce RTX 4090`. The display name is the spelling
of Vast.ai, which most people in this field know. PCIe, SXM and NVL variants that are
rented at different prices are different types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_TYPES = """
A2; A10; A10G; A16; A30; A40; A100 PCIE; A100 SXM4; A100X; A800 PCIE; A800 SXM4;
B200; B300; GB200; GH200 SXM; H20; H100 NVL; H100 PCIE; H100 SXM; H200; H200 NVL; L4; L40; L40S;
CMP 170HX; GTX 1050 Ti; GTX 1060; GTX 1070; GTX 1070 Ti; GTX 1080; GTX 1080 Ti; GTX 1650;
GTX 1650 S; GTX 1660; GTX 1660 S; GTX 1660 Ti; GTX TITAN X; Titan V; Titan Xp; Titan RTX;
Q RTX 4000; Q RTX 5000; Q RTX 6000; Q RTX 8000;
Quadro K620; Quadro K2200; Quadro P400; Quadro P2000; Quadro P4000; Quadro P5000; Quadro P6000;
RTX 2060; RTX 2060S; RTX 2070; RTX 2070S; RTX 2080; RTX 2080S; RTX 2080 Ti;
RTX 3050; RTX 3060; RTX 3060 Ti; RTX 3060 laptop; RTX 3070; RTX 3070 Ti; RTX 3070 laptop;
RTX 3080; RTX 3080 Ti; RTX 3080 laptop; RTX 3090; RTX 3090 Ti;
RTX 4060; RTX 4060 Ti; RTX 4060 laptop; RTX 4070; RTX 4070 Ti; RTX 4070S; RTX 4070S Ti;
RTX 4070 laptop; RTX 4080; RTX 4080S; RTX 4080 laptop; RTX 4090; RTX 4090D; RTX 4090 laptop;
RTX 5060; RTX 5060 Ti; RTX 5070; RTX 5070 Ti; RTX 5080; RTX 5090; RTX 5090D;
RTX 2000Ada; RTX 4000Ada; RTX 4000 SFF Ada; RTX 4500Ada; RTX 5000Ada; RTX 5880Ada; RTX 6000Ada;
RTX A2000; RTX A4000; RTX A4500; RTX A5000; RTX A5500; RTX A6000;
RTX PRO 4000; RTX PRO 4500; RTX PRO 5000; RTX PRO 6000 S; RTX PRO 6000 WS; RTX PRO 6000 Max-Q;
Tesla K80; Tesla M40; Tesla P4; Tesla P40; Tesla P100; Tesla T4; Tesla V100;
P104-100; P106-100; InstinctMI100; InstinctMI210; InstinctMI250X; InstinctMI300X; Radeon Pro VII
"""

_OTHER_SPELLINGS = {
    "a100sxm": "A100 SXM4",
    "a800sxm": "A800 SXM4",
    "b300sxm6ac": "B300",
    "gh200": "GH200 SXM",
    "h100sxm5": "H100 SXM",
    # The driver prints the form factor of PCIe and NVL cards, and the memory of SXM ones.
    "h10080gbhbm3": "H100 SXM",
    "h100hbm3": "H100 SXM",
    "h200sxm": "H200",
    "h200sxm5": "H200",
    "rtxpro6000workstation": "RTX PRO 6000 WS",
    "rtxpro6000server": "RTX PRO 6000 S",
    "rtxpro6000maxqworkstation": "RTX PRO 6000 Max-Q",
}

_VENDOR_WORDS = frozenset(
    {"nvidia", "geforce", "amd", "gpu", "generation", "edition", "blackwell", "nvlink"}
)
_WORD = re.compile(r"\d{1,3} gi?b\b|[^\W_]+")
_GLUED_VENDOR = re.compile(r"^(?:nvidia)?(?:geforce)?(?=.)")
_MEMORY = re.compile(r"\d+ ?(?:g|gb|gib)|hbm\d?e?")
_FORM_FACTOR = re.compile(r"pcie|sxm\d?|nvl|dgxs|fhhl")
_SUPER = re.compile(r"(?P<model>.* \d+) ?S(?P<ti> Ti)?")

_KNOWN_SIZES_GB = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 16, 20, 22, 24, 32, 40, 48, 64, 72, 80, 94, 96),
    *(128, 141, 144, 180, 192, 256, 288),
)
_MIB_PER_GB = 1024


@lru_cache(maxsize=4096)
def gpu_type(name: str) -> str:
    """The display name of the GPU that somebody spells `name`; unknown names as they are."""
    words = _words(name)
    return next(
        (_DISPLAY[key] for key in _keys(words) if key in _DISPLAY),
        " ".join(name.split()),
    )


@lru_cache(maxsize=4096)
def gpu_key(name: str) -> str:
    """What all spellings of one GPU have in common, and no other GPU has."""
    return "".join(_words(gpu_type(name))) or name.strip().casefold()


def has_prefix(name: str, prefix: str) -> bool:
    """Whether some spelling of the GPU that is called `name` begins with `prefix`."""
    begin = "".join(_words(prefix))
    return any(key.startswith(begin) for key in _spellings(gpu_type(name)))


@lru_cache(maxsize=4096)
def is_same_gpu(rented: str, shown: str) -> bool:
    """Whether a machine that shows `shown` has the GPU that was rented as `rented`.

    Where one side is no known type (a bare "A100", a GPU newer than this table), a
    form factor or a memory size that only the other side tells makes no difference.
    """
    one, other = gpu_type(rented), gpu_type(shown)
    if one == other:
        return True
    if one in _KNOWN and other in _KNOWN:
        return False
    model = _model(one)
    return bool(model) and model == _model(other) and _agree(_form(one), _form(other))


def nominal_vram_gb(mib: int) -> int:
    """The size on the box of a GPU whose driver reports `mib` MiB.

    Drivers report up to a tenth less (error correction, reserved memory), never more.
    """
    gb = mib / _MIB_PER_GB
    return next(
        (size for size in _KNOWN_SIZES_GB if size * 0.9 <= gb <= size * 1.005),
        round(gb),
    )


def _words(name: str) -> tuple[str, ...]:
    """Lower-case words of `name` that tell something about the GPU."""
    words = (_GLUED_VENDOR.sub("", word) for word in _WORD.findall(name.lower()))
    return tuple(word for word in words if word not in _VENDOR_WORDS)


def _keys(words: tuple[str, ...]) -> Iterator[str]:
    """Ever less of the name: everything, without memory, without form factor."""
    yield "".join(words)
    words = tuple(word for word in words if not _MEMORY.fullmatch(word))
    yield "".join(words)
    yield "".join(word for word in words if not _FORM_FACTOR.fullmatch(word))


def _model(name: str) -> str:
    """What is left without memory and form factor."""
    *_, model = _keys(_words(name))
    return model


def _form(name: str) -> frozenset[str]:
    """The form factors that `name` tells."""
    return frozenset(word for word in _words(name) if _FORM_FACTOR.fullmatch(word))


def _agree(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two sets of form factors may be of one GPU; silence contradicts nothing."""
    return not one or not other or one == other


def _spellings(display: str) -> Iterator[str]:
    """The keys under which a display name is found."""
    yield "".join(_words(display))
    if match := _SUPER.fullmatch(display):
        yield "".join(_words(f"{match['model']}{match['ti'] or ''} super"))
    for family in ("Tesla ", "Instinct", "RTX A"):
        if display.startswith(family):
            yield "".join(_words(display.removeprefix(family.removesuffix("A"))))
    if display.startswith("Q RTX "):
        yield "".join(_words(f"Quadro {display.removeprefix('Q ')}"))


_KNOWN = frozenset(" ".join(name.split()) for name in _TYPES.split(";"))
_DISPLAY = {key: name for name in sorted(_KNOWN) for key in _spellings(name)} | _OTHER_SPELLINGS
