"""Message tracking: every event of a message's life, kept for some time and found again.

C{sink} gathers events on the reactor, C{rows} and C{files} write them in a thread; C{query} says what is looked for, C{find} finds it.
They meet in the files only (C{schema}), so that whoever may read those needs no daemon.

Source: Exchange Server, "Message tracking".
"""
