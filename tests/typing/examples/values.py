"""Values that users build: what type checkers accept of them, and what they refuse."""

# pyright: strict

from typing import Literal, assert_type

from aiograph.types import Command, RetryPolicy, Send

assert_type(Send("fetch", {"url": "x"}).node, str)

Send(1, {})  # rejected
Send("fetch")  # rejected

goto: Command[Literal["again"]] = Command(goto="again")
lost: Command[Literal["again"]] = Command(goto="never")  # rejected

RetryPolicy(max_attempts=5, retry_on=(OSError, ValueError))
RetryPolicy(retry_on=lambda error: "busy" in str(error))
RetryPolicy(max_attempts="five")  # rejected
RetryPolicy(5)  # rejected
