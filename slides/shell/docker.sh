# shellcheck shell=sh
# Steps 3, 4, 7 and most of 9 need no flag. What the slide colours:
#1 debian:12
#2 --hostname box
#4 -v "$PWD/shared:/mnt:ro"
#5 -u 1000:1000
#6 -m 64m --pids-limit 20
#8 -p 8080:80
#9 --cap-drop ALL | --security-opt no-new-privileges

docker run --rm \
  --hostname box \
  -v "$PWD/shared:/mnt:ro" \
  -u 1000:1000 \
  -m 64m --pids-limit 20 \
  -p 8080:80 \
  --cap-drop ALL \
  --security-opt no-new-privileges \
  debian:12 \
  sh -c 'id -u; hostname; ls /mnt'
