"""Answers are JSON documents, and so are refusals."""

import json

from p2pgrid.gridproxy.answers import Answer, error_answer


def test_a_refusal_says_why() -> None:
    told = error_answer(429, "later", {"retry-after": "1"})
    assert (told.status, json.loads(told.body())) == (429, {"error": "later"})
    assert told.headers == {"retry-after": "1"}
    assert error_answer(404, "nothing").headers == {}


def test_texts_of_strangers_stay_texts() -> None:
    assert Answer(["é", "</script>", 2**70]).body() == b'["\\u00e9","</script>",%d]' % 2**70
