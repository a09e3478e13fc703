"""`--to trl-preference`: Parquet of prompts with two answers each, as TRL's DPOTrainer reads them.

https://huggingface.co/docs/trl/dataset_formats, preference, conversational, with an explicit prompt.
"""

from curation.formats.preference import Preference
from curation.formats.targets.trl import Trl


class TrlPreference(Trl):
    """Columns `prompt`, `chosen` and `rejected`, lists of messages; `tools` where the recipe maps it."""

    kind = "trl-preference"
    reader = "TRL's DPOTrainer"
    formats = (Preference.kind,)
    parts = ("prompt", "chosen", "rejected")
    trainer = "DPOTrainer"
