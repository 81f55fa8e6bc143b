"""The recipe's section on how pictures are drawn: temperature, nucleus, guidance and plan."""

from __future__ import annotations

from pydantic import Field

from unimp.core.config import Config


class SamplingConfig(Config):
    """How codes are drawn."""

    temperature: float = Field(0.9, ge=0)
    """Below 1 the likely becomes likelier; 0 always takes the likeliest."""
    top_p: float = Field(0.95, gt=0, le=1)
    """Only the likeliest codes that together have this probability (Holtzman et al. 2020)."""
    guidance: float = Field(1.0, ge=0)
    """Above 1, what words and history add to the likelihood counts so many times (classifier-free guidance,
    Ho & Salimans 2022); costs a second reading without either."""
    history_guidance: float | None = Field(None, ge=0)
    """How many times what the history adds to the words counts; None: as many as `guidance` says, and
    anything else costs a reading without the history."""
    planned: tuple[str, ...] = ()
    """Attributes for which the user's own search says what it expects where the words leave them open, and
    which then guide the drawing beside the words: those that pictures show and a history foretells."""
    plan_guidance: float = Field(1.0, ge=0)
    """How many times what is planned counts; costs a reading of it and one of nothing."""
    draws: int = Field(4, ge=1)
    """Pictures drawn for each one requested; the model's own search picks the one that suits words and
    history best. 1 leaves nothing to pick."""
