# Counts words; included by the chapter on values.
text="one two three"
set -- $text
echo "$# words"
