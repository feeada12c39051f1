"""Exchange's filter language (OPATH), as C{-Filter} takes it: L{compile_filter} makes a L{Filter} of a text.

It is sans-I/O: it knows texts and values, and nothing of queues or messages beyond their properties' names and kinds.

Source: Exchange Server, "Queue properties", "Find queues and messages in queues in the Exchange Management Shell", about_OPATH.
"""

from twistedrelay.control.filters.compiled import Filter, compile_filter
from twistedrelay.control.filters.errors import FilterError
from twistedrelay.control.filters.kinds import Kind, Property

__all__ = ["Filter", "FilterError", "Kind", "Property", "compile_filter"]
