"""The page of `rnn-zoo serve` in a real browser: on a phone and on a desk, bright and dark, without a complaint."""

import time
from urllib.parse import urlsplit

import pytest
from browser import Browser, chromium, seen

from rnn_zoo import zoo
from rnn_zoo.commands.serve import free_port

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium: no program of its name is on the PATH"),
]

PHONE, DESK = 360, 1280  # CSS pixels


@pytest.fixture(scope="module")
def address():
    from rnn_zoo.space import app  # here, as gradio takes seconds to import

    page = app.build(zoo.names())
    app.launch(page, server_port=free_port("127.0.0.1", 0), prevent_thread_lock=True, quiet=True)
    yield page.local_url
    page.close(verbose=False)


@pytest.fixture
def browser():
    with Browser(chromium()) as browser:
        yield browser


def go_to(browser: Browser, tab: str) -> None:
    button = seen("button[role=tab]", tab)
    browser.click(button)
    browser.wait(f"{button}.ariaSelected == 'true'")


def ask(browser: Browser, text: str | None) -> None:
    """Writes a text in the place of the example, unless it is `None`, and presses the button of the tab."""
    if text is not None:
        browser.type(seen("textarea:not(:disabled)"), text)
    browser.click(seen("button.primary"))


def text_of(selector: str) -> str:
    """JavaScript for the text of the first such element that can be seen."""
    return f"(found => found && (found.value ?? found.innerText))({seen(selector)})"


WRITTEN = text_of("textarea:disabled")
TAGGED = (
    "[...document.querySelectorAll('.token.highlighted')].filter(e => e.checkVisibility()).map(e => e.innerText.trim())"
)


def check_fits(browser: Browser, width: int) -> None:
    """The page needs no scrolling to the side, and has not been shrunk to do without."""
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("window.innerWidth") == width


def check_nothing_to_complain_of(browser: Browser, address: str) -> None:
    assert browser.complaints == []
    assert {urlsplit(request).netloc for request in browser.requested} == {urlsplit(address).netloc}
    assert len(browser.requested) > 5


@pytest.mark.parametrize("dark", [False, True], ids=["bright", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_each_tab_answers(width, dark, browser, address):
    browser.open(address, width, dark=dark)
    ask(browser, "JULIET:")
    written = browser.wait(f"(text => text && text.length >= 307 && text)({WRITTEN})")
    assert written.startswith("JULIET:")
    check_fits(browser, width)

    go_to(browser, "Tag")
    ask(browser, None)  # the example, in Nepali
    found = browser.wait(f"(found => found.length && found)({TAGGED})")
    assert any("काठमाडौंमा" in entity and "LOC" in entity for entity in found)
    check_fits(browser, width)

    go_to(browser, "Translate")
    browser.click(seen("button.gallery-item", "सोमवार, ३ मार्च २०२५"))
    browser.wait(f"{text_of('input[role=combobox]')} == 'translate_dates'")
    ask(browser, "सोमवार, २८ मार्च २०२४")
    assert browser.wait(WRITTEN) == "2024-03-28"
    cells = browser.wait(f"{seen('figure table')}.querySelectorAll('td').length")
    assert cells == 11 * 22  # 2024-03-28 and <eos>, by the source and <eos>
    corner = browser.run(f"getComputedStyle({seen('figure th')}).backgroundColor")
    assert (corner == "rgb(255, 255, 255)") == (not dark)  # or its letters could not be read
    check_fits(browser, width)

    go_to(browser, "Classify")
    ask(browser, "Deutschland")
    assert browser.wait(text_of("[data-testid=label-output-value]")) == "de"
    assert "Deutschland" in browser.wait(text_of("section"))
    check_fits(browser, width)
    check_nothing_to_complain_of(browser, address)


def test_a_checkpoint_can_be_chosen_by_its_example(browser, address):
    browser.open(address, DESK)
    go_to(browser, "Tag")
    browser.click(seen("button.gallery-item", "Watching the new Avengers film in London with Emma Watson"))
    browser.wait(f"{text_of('input[role=combobox]')} == 'ner_wnut17_bilstm_crf'")
    browser.wait(f"{text_of('.prose p strong')} == 'ner_wnut17_bilstm_crf.'")
    ask(browser, None)
    assert any("Emma Watson" in entity for entity in browser.wait(f"(found => found.length && found)({TAGGED})"))
    check_nothing_to_complain_of(browser, address)


def test_the_slider_is_the_temperature(browser, address):
    """At 0 the text is the same each time, and not that of another temperature."""
    browser.open(address, DESK)
    texts = []
    for temperature in ("0", "0", "1"):
        browser.type(seen("input[type=number][aria-label*=Temperature]"), temperature)
        browser.run(f"{seen('input[type=number][aria-label*=Temperature]')}.blur()")
        browser.wait(f"{seen('input[type=range][aria-label*=Temperature]')}.value == '{temperature}'")
        ask(browser, "ROMEO:")
        browser.wait(f"(text => text && text.length < 306)({WRITTEN})")
        texts.append(browser.wait(f"(text => text && text.length >= 306 && text)({WRITTEN})"))
    assert texts[0] == texts[1] != texts[2]


def test_a_text_can_be_stopped(browser, address):
    browser.open(address, DESK)
    browser.type(seen("input[type=number][aria-label*=Length]"), "1000")
    ask(browser, "ROMEO:")
    browser.wait(f"(text => text && text.length > 20)({WRITTEN})")
    browser.click(seen("button.secondary", "Stop"))
    time.sleep(1)
    length = browser.run(f"{WRITTEN}.length")
    time.sleep(1)
    assert browser.run(f"{WRITTEN}.length") == length < 1006
    check_nothing_to_complain_of(browser, address)


def test_an_empty_text_is_one_sentence(browser, address):
    browser.open(address, PHONE)
    for tab in ("Tag", "Translate", "Classify"):
        go_to(browser, tab)
        ask(browser, " ")
        browser.wait(
            f"{text_of('[data-testid=toast-text]')} == 'There is no text yet: write one, or take the example.'"
        )
        browser.click(seen("[data-testid=toast-close]"))
        browser.wait("!document.querySelector('[data-testid=toast-text]')")
    check_fits(browser, PHONE)
    check_nothing_to_complain_of(browser, address)


def test_a_text_is_never_markup(browser, address):
    browser.open(address, PHONE)
    for tab, answer in {"Write": WRITTEN, "Translate": text_of("figure table"), "Classify": text_of("section")}.items():
        go_to(browser, tab)
        ask(browser, "<img src=x onerror='window.touched = 1'>")
        browser.wait(answer)
    assert browser.run("window.touched ?? null") is None
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    check_fits(browser, PHONE)
    check_nothing_to_complain_of(browser, address)


def test_a_long_text_does_not_widen_the_page(browser, address):
    browser.open(address, PHONE)
    for tab, answer in {"Tag": text_of(".textfield"), "Classify": text_of("section")}.items():
        go_to(browser, tab)
        ask(browser, "x" * 3000)
        browser.wait(answer)
        check_fits(browser, PHONE)
    check_nothing_to_complain_of(browser, address)
