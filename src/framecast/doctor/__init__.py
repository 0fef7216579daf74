"""The data doctor: what data hold, by what evidence, and a configuration that learns from them."""

from framecast.doctor.findings import Findings, examine
from framecast.doctor.proposal import Proposal, propose

__all__ = ["Findings", "Proposal", "examine", "propose"]
