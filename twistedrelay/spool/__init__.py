"""The persistent store of messages on their way: what was answered C{250} is in here until it is delivered or returned."""
