"""Lists of messages with `from` and `value`, as ShareGPT's dumps have them."""

from curation.formats.messages import Messages


class ShareGpt(Messages):
    """Conversations of human and gpt; everything else as in `messages`."""

    kind = "sharegpt"
    required = ("conversations",)
    role = "from"
    content = "value"
