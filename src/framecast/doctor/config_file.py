"""A proposal as a YAML file, each key with its reason."""

import yaml

from framecast.base.config import dump_config
from framecast.doctor.findings import Findings
from framecast.doctor.proposal import Proposal


def write_config(findings: Findings, proposal: Proposal) -> str:
    """Return the text of a configuration file that `framecast train` takes as it is."""
    experiment = proposal.experiment()
    values = yaml.safe_load(dump_config(experiment))
    chosen = {**dict.fromkeys(proposal.given, "as you set it")}
    chosen |= {key: choice.why for key, choice in proposal.choices.items()}
    lines = [f"# Proposed by framecast inspect for {findings.frames.source}: {findings.kind}"]
    lines += [f"# {note}" for note in proposal.notes]
    for section in values:
        keys = [key for key in chosen if key.startswith(f"{section}.")]
        if keys:
            lines.append(f"{section}:")
            lines += [_line(key, values, chosen[key]) for key in keys if key.count(".") == 1]
            lines += _options(keys, values, chosen)
    return "\n".join(lines) + "\n"


def _line(key: str, values: dict[str, dict[str, object]], why: str) -> str:
    section, name = key.split(".")
    return f"  {name}: {_flow(values[section][name])}  # {why}"


def _options(
    keys: list[str], values: dict[str, dict[str, object]], chosen: dict[str, str]
) -> list[str]:
    """Keys of keys, such as data.options.size: the whole mapping on one line."""
    holders = dict.fromkeys(key.rsplit(".", 1)[0] for key in keys if key.count(".") == 2)
    return [
        _line(
            holder, values, "; ".join(chosen[key] for key in keys if key.startswith(f"{holder}."))
        )
        for holder in holders
        if holder not in keys  # and so was written already
    ]


def _flow(value: object) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
    )
