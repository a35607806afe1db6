package main

// rsyncWhole are command lines whose sources and destinations matter.
// [wholeCalls] says how it is read.
const rsyncWhole = `
push rsync -az /var/www backup@nas:/volume1/Backups/
push rsync -az /var/www /etc backup@nas:/volume1/Backups/laptop/
push rsync -avz -e "ssh -p 23342" --backup --backup-dir=rsync_bak_2024-01-31 --exclude tmp* --exclude cache* --exclude logs /var/www/ backup@nas:/volume1/Backups/laptop/www/
push rsync -a src/ backup@nas:dst/
push rsync -a src/file nas:dst/file
push rsync -a src/file nas:
push rsync src/file nas:file
push rsync -a src nas:dst
push rsync -aR src/./file nas:dst/
push rsync -aR /var/./www/a nas:dst/
push rsync -aR /var/www nas:/
push rsync -a src/ nas:/
push rsync -a src/ [::1]:dst/
push rsync -a src/ backup@[fe80::1]:dst/
push rsync -a -e "ssh -l backup" src/ nas:dst/
push rsync -4a src/ nas:dst/
pull rsync -a nas:a nas:b dst/
pull rsync -a nas:a :b dst/
pull rsync -a nas:a :b :/c/ "::m/d" dst/ | local
pull rsync -a nas:a "nas:b c" :d* dst/
pull rsync -a "nas:a b" dst/
pull rsync -a --old-args "nas:a b" dst/
pull rsync -as nas:a "nas:b c" :-d :~e dst/
pull rsync nas:
pull rsync nas:dir/
pull rsync -r nas:
pull rsync nas:file
pull rsync -a nas: dst/
pull rsync -a :dir dst/
pull rsync -aR nas:a/./b/c dst/
pull rsync -aR nas:/var/./www/ dst/
pull rsync -aR nas:../x dst/
pull rsync -aR --no-implied-dirs nas:a/b :c/d dst/
pull rsync -a --files-from=list nas: dst/
pull rsync -a --files-from=list nas:/volume1/Backups/laptop dst/
pull rsync -a --files-from=:list nas:base dst/
push rsync -a --files-from=:list src nas:dst
push rsync -a --files-from=nas:list / nas:dst
pull rsync -a --remove-source-files nas:a dst/
pull rsync -a --delete nas:a/ dst/
pull rsync -av --list-only nas:/
push rsync -av -e ssh src/ nas::module/dst
push rsync -av -e ssh src/ nas::module
push rsync -av -e ssh src/ backup@nas::module/dst
push rsync -av -e ssh src/ rsync://nas/module/dst
push rsync -av -e ssh src/ rsync://backup@nas:8730/module/dst
push rsync -avs -e ssh src/ nas::module/dst
push rsync -av -e "ssh -l root" src/ backup@nas::module/dst
push rsync -av -e ssh --password-file=secret src/ backup@nas::module/dst
push rsync -av -e ssh --early-input=secret --no-motd src/ nas::module/dst
push rsync -av -e ssh --contimeout=5 src/ nas::module/dst | local
push rsync -av -e ssh --rsync-path=/usr/local/bin/rsync src/ nas::module/dst
push rsync -av -e ssh -M--log-file=x src/ nas::module/dst
pull rsync -e ssh nas::
pull rsync -e ssh nas::module
pull rsync -av -e ssh nas::module/a ::module/b dst/
pull rsync -av -e ssh rsync://nas/module/a dst/
pull rsync -av -e ssh --port=8730 --address=127.0.0.1 --sockopts=SO_SNDBUF=1 nas::module/a dst/
`
