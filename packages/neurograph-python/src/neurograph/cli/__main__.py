"""`python -m neurograph.cli`, the same as `neurograph-cli`."""

from neurograph.cli import main

main()
