"""From records to tables, figures and a page; imports no torch."""

import os

# A notebook hands its backend to the processes that it starts, and Matplotlib refuses to be imported under
# one that it lacks. Figures are drawn on canvases of their own and need no backend.
os.environ["MPLBACKEND"] = "agg"
