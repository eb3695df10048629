# shellcheck shell=sh disable=SC2154 # whoever runs it sets $image
# What the slide colours:
#1 --rootfs "$image"
#2 --hostname box
#4 -v "$PWD/shared:/mnt:ro"
#5 -u 1000:1000
#6 -m 64m --pids-limit 20
#8 -p 8080:80
#9 --cap-drop ALL | --security-opt no-new-privileges

09-least-privilege -q \
  --hostname box \
  -v "$PWD/shared:/mnt:ro" \
  -u 1000:1000 \
  -m 64m --pids-limit 20 \
  -p 8080:80 \
  --cap-drop ALL \
  --security-opt no-new-privileges \
  --rootfs "$image" \
  sh -c 'id -u; hostname; ls /mnt'
