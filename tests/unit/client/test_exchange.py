"""For how long a request is sent again."""

from fastlane.client.exchange import UNREACHED, Attempts


def test_an_address_that_never_answered_is_given_up_soon():
    attempts = Attempts(60.0, 0.0, reached=False)
    assert attempts.next(0.0) is not None
    assert attempts.next(UNREACHED) is None


def test_after_its_first_answer_an_address_gets_the_whole_patience():
    attempts = Attempts(60.0, 0.0, reached=False)
    attempts.succeeded(0.5)
    assert attempts.next(30.0) is not None
    assert attempts.next(60.5) is None
