"""What the programs in bin/ do: flags, then one call."""
