"""What is done to a text before it is cut: markup, case, Unicode."""

from tokenizers import Regex, normalizers

from ..models.keys import one_of
from ..models.tokenization_rnn import end_token

# What `clean_markup` puts for what, in this order: entities after tags, as `&lt;` begins none, and `&amp;` last, as it
# may stand before the name of another. No pattern reaches over a line end, and each is linear in the text.
MARKUP = (
    (r"<!--(?:(?!<!--|-->)[^\n])*-->|</?[A-Za-z][A-Za-z0-9:-]*(?:[^\S\n][^<>\n]*)?/?>", " "),
    (r"[^\P{Cc}\t\n\r]|&(?:nbsp|#0*160|#[xX]0*[aA]0);", " "),
    (r"&(?:lt|#0*60|#[xX]0*3[cC]);", "<"),
    (r"&(?:gt|#0*62|#[xX]0*3[eE]);", ">"),
    (r"&(?:quot|#0*34|#[xX]0*22);", '"'),
    (r"&(?:apos|#0*39|#[xX]0*27);", "'"),
    (r"&(?:amp|#0*38|#[xX]0*26);", "&"),
)


def text_normalizer(
    unicode_normalization: str | None,
    fold_case: bool = False,
    clean_markup: bool = False,
    eos: str | None = None,
) -> normalizers.Normalizer | None:
    """What the builders' options of these names do to a text before it is cut; `None` where that is nothing.

    Args:
        eos: the token that is no markup at the end of a text; `None`: there is none.

    Raises:
        ValueError: for an unknown `unicode_normalization`.
    """
    name = "none" if unicode_normalization is None else str(unicode_normalization)
    one_of("unicode_normalization", name, ["NFC", "none"])
    steps: list[normalizers.Normalizer] = []
    if clean_markup:
        kept = "" if eos is None else rf"(?!{end_token(eos)})"
        steps += [normalizers.Replace(Regex(f"{kept}(?:{pattern})"), content) for pattern, content in MARKUP[:1]]
        steps += [normalizers.Replace(Regex(pattern), content) for pattern, content in MARKUP[1:]]
    if fold_case:  # before NFC, as a lower-case letter may compose where its upper-case one does not
        steps.append(normalizers.Lowercase())
    if name == "NFC":
        steps.append(normalizers.NFC())
    if len(steps) < 2:
        return steps[0] if steps else None
    return normalizers.Sequence(steps)
