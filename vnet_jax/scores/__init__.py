"""How good a mask is: Dice, bootstrap intervals; pure numpy."""
