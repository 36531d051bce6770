"""`rnn-zoo palindrome`."""

from rnn_zoo.command_line import TextParser


def read(argv):
    parser = TextParser("palindrome", "Judges texts.", done="judged", file="file of texts, one a line", batch_size=8)
    return parser.read(argv)
