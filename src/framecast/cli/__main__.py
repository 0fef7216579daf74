"""`python -m framecast.cli`."""

import sys

from framecast.cli import main

sys.exit(main())
