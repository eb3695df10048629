# shellcheck shell=sh disable=SC2086,SC2154 # whoever runs it sets $cgroup, to a plain name
# A container in ten lines of shell, for root of a host with cgroups of version 2:
# cgroup=/sys/fs/cgroup, and a root directory named image. What the slide colours:
#1 exec chroot . sh
#2 --uts --ipc | hostname box
#3 --pid --fork | mount -t proc none root/proc
#4 --mount | pivot_root . . | umount -l .
#5 --user --map-root-user
#6 echo 20 >$cgroup/box/pids.max | echo $$ >$cgroup/box/cgroup.procs
#7 mount -t overlay -o lowerdir=image,upperdir=up,workdir=work none root
#8 --net
#9 --no-new-privs

mkdir $cgroup/box up work root
echo 20 >$cgroup/box/pids.max
echo $$ >$cgroup/box/cgroup.procs
exec setpriv --no-new-privs unshare --user --map-root-user \
  --uts --ipc --pid --fork --mount --net sh -ec '
  hostname box
  mount -t overlay -o lowerdir=image,upperdir=up,workdir=work none root
  mount -t proc none root/proc
  cd root; pivot_root . .; umount -l .
  exec chroot . sh'
