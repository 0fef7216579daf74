"""`python -m framecast`, as torchrun needs it: `torchrun ... -m framecast train ...`."""

import sys

from framecast.cli import main

sys.exit(main())
