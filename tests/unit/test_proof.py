"""Is it the machine that was rented? Model, count and memory against the offer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.proof import Gpu, Mismatch, Verification, judge_gpus
from tests.offers import an_offer

RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", 24564)
LEAST = 24 * 1024 * 9 // 10


def judge(
    *gpus: Gpu, gpu_type: str = "RTX 4090", gpu_count: int = 1, vram_gb: int = 24
) -> Mismatch | None:
    """The judgement of these GPUs against an offer."""
    offer = an_offer(gpu_type=gpu_type, gpu_count=gpu_count, vram_gb=vram_gb)
    return judge_gpus(offer, Verification(gpus, None, ()))


class TestJudgeGpus:
    """What is shown against what was rented."""

    def test_the_rented_gpus_are_no_mismatch(self) -> None:
        """The ordinary case."""
        assert judge(RTX_4090) is None
        assert judge(RTX_4090, RTX_4090, gpu_count=2) is None

    @pytest.mark.parametrize(
        ("gpu_type", "vram_gb", "shown"),
        [
            ("RTX 4090", 24, Gpu("NVIDIA GeForce RTX 4090", 23028)),
            ("H100 SXM", 80, Gpu("NVIDIA H100 80GB HBM3", 81559)),
            ("H200", 141, Gpu("NVIDIA H200", 143771)),
            ("L40S", 48, Gpu("NVIDIA L40S", 46068)),
            ("Tesla T4", 16, Gpu("Tesla T4", 15360)),
        ],
    )
    def test_memory_that_the_driver_keeps_is_forgiven(
        self, gpu_type: str, vram_gb: int, shown: Gpu
    ) -> None:
        """Error correction takes a part of it."""
        assert judge(shown, gpu_type=gpu_type, vram_gb=vram_gb) is None

    def test_more_gpus_than_rented_do_no_harm(self) -> None:
        """Nor does a small one for the display."""
        assert judge(RTX_4090, RTX_4090) is None
        assert judge(Gpu("NVIDIA GeForce GT 710", 2048), RTX_4090) is None

    @pytest.mark.parametrize(
        "shown",
        [
            (Gpu("NVIDIA GeForce RTX 3060", 12288),),
            (Gpu("NVIDIA GeForce RTX 4090 D", 24564),),
            (Gpu("NVIDIA GeForce RTX 4090", LEAST - 1),),
            (Gpu("NVIDIA GeForce RTX 4090", None),),
        ],
        ids=["another model", "almost the same model", "less memory", "unknown memory"],
    )
    def test_anything_less_is_a_mismatch_that_does_not_pass(self, shown: tuple[Gpu, ...]) -> None:
        """The machine will not become another one."""
        mismatch = judge(*shown)
        assert mismatch is not None
        assert not mismatch.may_pass

    def test_fewer_gpus_than_rented_are_a_mismatch(self) -> None:
        """And those of another model make up for none."""
        assert judge(RTX_4090, gpu_count=2) is not None
        assert judge(RTX_4090, Gpu("NVIDIA GeForce RTX 3060", 12288), gpu_count=2) is not None

    def test_a_mismatch_tells_what_was_expected_and_what_was_found(self) -> None:
        """A person reads it, and asks for the money back."""
        other = Gpu("NVIDIA GeForce RTX 3060", 12288)
        expected = Mismatch(
            "Expected 4 x RTX 4090 with at least 22118 MiB each, but nvidia-smi shows "
            "2 x NVIDIA GeForce RTX 4090 with 24564 MiB "
            "and 1 x NVIDIA GeForce RTX 3060 with 12288 MiB "
            "and 1 x NVIDIA GB10 with unknown memory.",
            may_pass=False,
        )
        assert expected == judge(RTX_4090, RTX_4090, other, Gpu("NVIDIA GB10", None), gpu_count=4)

    def test_a_driver_that_fails_may_still_come_up(self) -> None:
        """Images install drivers while they boot: it is a mismatch now, and not for ever."""
        verification = Verification((), "No devices were found", ())
        assert judge_gpus(an_offer(), verification) == Mismatch(
            "Expected 1 x RTX 4090 with at least 22118 MiB each, but nvidia-smi fails: "
            "No devices were found",
            may_pass=True,
        )

    @given(st.lists(st.builds(Gpu, st.text(), st.none() | st.integers(0, LEAST - 1))))
    def test_nothing_too_small_is_ever_accepted(self, shown: list[Gpu]) -> None:
        """Whatever it calls itself."""
        assert judge(*shown) is not None


class TestAdmits:
    """Whether the machine lets somebody in."""

    def test_type_and_key_decide(self) -> None:
        """The comment does not."""
        verification = Verification((), None, ("ssh-ed25519 AAAA",))
        assert verification.admits("ssh-ed25519 AAAA consumer")
        assert not verification.admits("ssh-ed25519 AAAB consumer")
        assert not verification.admits("ssh-rsa AAAA")
        assert not verification.admits("")
