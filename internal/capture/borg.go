package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// borgCalls are all calls of a borg client.
func borgCalls() []call {
	calls := wholeCalls(borgWhole)
	for _, word := range strings.Fields(borgRepositories) {
		calls = append(calls, call{argv: []string{"borg", "list", word}, direction: "serve"})
	}
	return calls
}

// borgHelp returns the subcommands and the common options of the help text.
func borgHelp(text string) ([]string, error) {
	options, commands, ok := strings.Cut(text, "\nrequired arguments:\n")
	if !ok {
		return nil, errors.New("no list of commands")
	}
	listed := regexp.MustCompile(`(?m)^  (-.*?)(?:  |$)`).FindAllStringSubmatch(options, -1)
	var words []string
	for _, entry := range listed {
		for spelling := range strings.SplitSeq(entry[1], ",") {
			words = append(words, strings.Fields(spelling)[0])
		}
	}
	for _, entry := range regexp.MustCompile(`(?m)^    ([a-z-]+)  `).FindAllStringSubmatch(commands, -1) {
		words = append(words, entry[1])
	}
	if len(words) < 40 || !slices.Contains(words, "create") {
		return nil, errors.New("the lists are too short to be read right")
	}
	return words, nil
}

// borgRepositories are the ways to name a repository on another host.
const borgRepositories = `
	ssh://backup@nas:2222/volume1/Backups/laptop/borg-repo
	ssh://backup@nas:22/./repo
	ssh://nas/./repo
	ssh://nas/~/repo
	ssh://nas/~backup/repo
	ssh://nas/volume1/Backups/laptop.borg
	ssh://backup@[::1]:22/./repo
	backup@nas:repo
	backup@nas:./repo
	backup@nas:~/repo
	backup@nas:/volume1/Backups/laptop.borg
	nas:repo
	nas:../other
	nas:/etc
`

// borgWhole are calls of every subcommand. [wholeCalls] says how it is read.
const borgWhole = `
serve borg init -e none ssh://nas/./repo
serve borg init -e authenticated ssh://nas/./repo
serve borg init -e authenticated-blake2 ssh://nas/./repo
serve borg init -e repokey ssh://nas/./repo
serve borg init -e repokey-blake2 ssh://nas/./repo
serve borg init -e keyfile ssh://nas/./repo
serve borg init -e keyfile-blake2 ssh://nas/./repo
serve borg init -e none --append-only ssh://nas/./repo
serve borg init -e none --storage-quota 5G ssh://nas/./repo
serve borg init -e none --storage-quota=500M --make-parent-dirs ssh://nas/./repo
serve borg init --info -e none --storage-quota 1.5T ssh://nas/./repo
serve borg create ssh://nas/./repo::a src
serve borg create -v --stats --list ssh://nas/./repo::a src
serve borg create --dry-run ssh://nas/./repo::a src | local
serve borg create --compression zstd,3 --exclude *.tmp --files-cache mtime,size ssh://nas/./repo::{hostname}-{now} src
serve borg create --content-from-command ssh://nas/./repo::a -- id
serve borg create --paths-from-command ssh://nas/./repo::a -- id
serve borg list ssh://nas/./repo
serve borg list ssh://nas/./repo::a
serve borg list --json ssh://nas/./repo
serve borg info ssh://nas/./repo
serve borg info --json ssh://nas/./repo::a
serve borg extract ssh://nas/./repo::a
serve borg extract --stdout ssh://nas/./repo::a src/file
serve borg delete ssh://nas/./repo::a
serve borg delete --force ssh://nas/./repo
serve borg delete --cache-only ssh://nas/./repo
serve borg prune --keep-daily 7 ssh://nas/./repo
serve borg prune -v --list --keep-daily 7 --keep-weekly 4 -a laptop-* ssh://nas/./repo
serve borg compact ssh://nas/./repo
serve borg compact --threshold 10 --cleanup-commits --progress ssh://nas/./repo
serve borg check ssh://nas/./repo
serve borg check --repository-only --max-duration 60 ssh://nas/./repo
serve borg check --repair ssh://nas/./repo
serve borg check --verify-data -v ssh://nas/./repo
serve borg break-lock ssh://nas/./repo
serve borg mount ssh://nas/./repo dst
serve borg umount dst | local
serve borg key export ssh://nas/./repo key
serve borg key import ssh://nas/./repo list
serve borg key change-passphrase ssh://nas/./repo
serve borg key migrate-to-repokey ssh://nas/./repo
serve borg rename ssh://nas/./repo::a b
serve borg recreate ssh://nas/./repo
serve borg diff ssh://nas/./repo::a b
serve borg export-tar ssh://nas/./repo::a out.tar
serve borg import-tar ssh://nas/./repo::a list
serve borg upgrade ssh://nas/./repo | local
serve borg upgrade --tam ssh://nas/./repo
serve borg config ssh://nas/./repo append_only 0 | local
serve borg config --list ssh://nas/./repo | local
serve borg with-lock ssh://nas/./repo id
serve borg serve | local
serve borg serve --restrict-to-path / --append-only | local
serve borg benchmark crud ssh://nas/./repo work
serve borg debug dump-manifest ssh://nas/./repo manifest
serve borg debug dump-archive-items ssh://nas/./repo::a
serve borg debug dump-archive ssh://nas/./repo::a archive
serve borg debug dump-repo-objs ssh://nas/./repo
serve borg debug search-repo-objs ssh://nas/./repo str:x
serve borg debug get-obj ssh://nas/./repo 00 object
serve borg debug put-obj ssh://nas/./repo 00 list
serve borg debug delete-obj ssh://nas/./repo 00
serve borg debug refcount-obj ssh://nas/./repo 00
serve borg debug dump-hints ssh://nas/./repo hints
serve borg debug convert-profile list profile | local
serve borg debug info | local
serve borg list -v ssh://nas/./repo
serve borg list --verbose ssh://nas/./repo
serve borg list --info ssh://nas/./repo
serve borg list --debug ssh://nas/./repo
serve borg list --warning ssh://nas/./repo
serve borg list --error ssh://nas/./repo
serve borg list --critical ssh://nas/./repo
serve borg list --debug-topic repository ssh://nas/./repo
serve borg list --debug-topic repository.compaction ssh://nas/./repo
serve borg list --debug --debug-topic borg.debug.repository --debug-topic other ssh://nas/./repo
serve borg list --debug-topic "repository; id" ssh://nas/./repo
serve borg list -p ssh://nas/./repo
serve borg list --progress ssh://nas/./repo
serve borg list --iec ssh://nas/./repo
serve borg list --log-json ssh://nas/./repo
serve borg list --log-json --info ssh://nas/./repo
serve borg list --lock-wait 600 ssh://nas/./repo
serve borg list --bypass-lock ssh://nas/./repo
serve borg list --show-version ssh://nas/./repo
serve borg list --show-rc ssh://nas/./repo
serve borg list --umask 0022 ssh://nas/./repo
serve borg list --remote-path borg1 ssh://nas/./repo
serve borg list --remote-path=borg-1.4 ssh://nas/./repo
serve borg list --remote-path=borg14 ssh://nas/./repo
serve borg list --remote-path=/usr/local/bin/borg ssh://nas/./repo
serve borg list --remote-path=/usr/bin/borg --info ssh://nas/./repo
serve borg list "--remote-path=sudo borg" ssh://nas/./repo
serve borg list "--remote-path=nice borg" ssh://nas/./repo
serve borg list "--remote-path=/opt/my borg/borg" ssh://nas/./repo
serve borg list "--remote-path=borg; id" ssh://nas/./repo
serve borg list "--remote-path=borg$(id)" ssh://nas/./repo
serve borg list --remote-path=C:/borg/borg.exe ssh://nas/./repo
serve borg list "--remote-path=borg-{borgversion}" ssh://nas/./repo
serve BORG_REMOTE_PATH=borg1 borg list ssh://nas/./repo
serve borg list --remote-ratelimit 100 ssh://nas/./repo
serve borg list --upload-ratelimit 100 ssh://nas/./repo
serve borg list --remote-buffer 1 ssh://nas/./repo
serve borg list --upload-buffer 1 ssh://nas/./repo
serve borg list --consider-part-files ssh://nas/./repo
serve borg list --debug-profile profile ssh://nas/./repo
serve borg list --rsh "ssh -i key -o BatchMode=yes" ssh://nas/./repo
serve "BORG_RSH=ssh -4" borg list ssh://nas/./repo
serve borg -V | local
serve borg --version | local
serve borg -h | local
serve borg --help | local
`
