# One connection: whatever is asked, the answer is PONG.
read -r question
echo PONG
