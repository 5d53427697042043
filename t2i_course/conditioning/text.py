"""What all models that read captions have in common: CLIPs, sentence encoders, keywords."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from t2i_course.contract import Condition, Settings, TextEncoder, require


class TextModel(ABC):
    """A frozen model that makes conditions of captions.

    Attributes:
        name: as a reader is told it.
        source: by which `runs.load_text` finds it again; "" for `tiny`, which ships.
        costly: whether its conditions are worth keeping on disk.
        sha256: of its weights.
        dim: D, of the vectors.
        token_dim: D_tok, of the tokens; 0 if it gives none.
        context: how many pieces of a caption it reads at most.
    """

    name: str
    source: str = ""
    costly: bool = True

    @property
    @abstractmethod
    def sha256(self) -> str: ...

    @property
    @abstractmethod
    def dim(self) -> int: ...

    @property
    @abstractmethod
    def token_dim(self) -> int: ...

    @property
    @abstractmethod
    def context(self) -> int: ...

    @property
    def title(self) -> str:
        """The name among text encoders, as data and checkpoints note it."""
        return self.name

    @abstractmethod
    def text(self, captions: Sequence[str], tokens: bool = False) -> Condition:
        """Captions as conditions in float32: `vector` `[B, D]`, and if they are asked for `tokens`
        `[B, T, D_tok]` with their `mask` `[B, T]`."""

    @abstractmethod
    def length(self, prompt: str) -> int:
        """Of how many pieces a prompt is."""

    def can_read(self, captions: Sequence[str], tokens: bool) -> None:
        """Raise `T2IError` without captions, or if tokens are asked of a model that gives none."""
        require(
            not (tokens and self.token_dim == 0),
            f"{self.name} gives no features of single tokens: condition on its vector alone.",
        )
        require(len(captions) > 0, "There is no caption to encode: give at least one.")

    def encoder(self, tokens: bool = True) -> TextEncoder:
        """The captions' embeddings as data and families take them."""
        tokens = tokens and self.token_dim > 0
        return TextEncoder(
            self.title, self.sha256, self.dim, self.token_dim if tokens else 0,
            lambda captions: self.text(captions, tokens), self.source,
        )  # fmt: skip

    def encoder_for(self, settings: Settings) -> TextEncoder:
        """The same with tokens if a family of these settings reads them, else without."""
        return self.encoder(tokens=getattr(settings, "token_dim", 0) > 0)

    def check(self, prompts: Sequence[str]) -> None:
        """Raise `T2IError` for the first prompt that is empty or longer than the context."""
        for number, prompt in enumerate(prompts, start=1):
            where = "The prompt" if len(prompts) == 1 else f"Prompt {number} of {len(prompts)}"
            require(bool(prompt.strip()), f"{where} is empty: write what the picture is to show.")
            length = self.length(prompt)
            require(
                length <= self.context,
                f"{where} has {length} tokens and {self.name} reads {self.context}: shorten it "
                f"({prompt[:40]!r}…).",
            )

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that this model was never shown; none where it cannot tell."""
        return []
