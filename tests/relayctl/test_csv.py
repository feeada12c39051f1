"""CSV for spreadsheets."""

from __future__ import annotations

import pytest

from twistedrelay.relayctl.output import print_rows


def test_a_text_that_strangers_chose_is_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"helo": "=1+1", "names": ["@x", "b"], "count": -1, "text": "a=b"}], ("helo",), "csv")
    assert capsys.readouterr().out == "helo,names,count,text\n'=1+1,\"'@x, b\",-1,a=b\n"
