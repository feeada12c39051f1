"""One module per verb; each has a C{command}.  They are imported when they are used, so that none slows the others down."""
