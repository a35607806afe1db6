package policy

import "regexp"

// class says what an option of rsync --server can reach, as a set of bits.
type class uint8

const (
	// deletes marks what removes files of the rule: it needs write access
	// and delete: true. --force is among them: without it a folder in the
	// way of a file stays.
	deletes class = 1 << iota
	// overwrites marks what changes, moves or replaces files beside the
	// ones that --ignore-existing protects: it needs overwrite: true.
	overwrites
	// readsPath and writesPath mark a value that is a path.
	readsPath
	writesPath
	// dangerous marks what no rule allows.
	dangerous

	// harmless is the class of an option that can do nothing but describe
	// the transfer.
	harmless class = 0
)

func (c class) has(bit class) bool { return c&bit != 0 }

// option is one option that a client can send to rsync --server.
type option struct {
	class class
	// value is what the option's value must look like; nil for an option
	// that takes none.
	value *regexp.Regexp
	// only restricts the class, and what it needs, to one direction: in the
	// other the option has no effect on this side, and is harmless.
	only Direction
	// needs is what the kernel must do for the option to be allowed. Contents
	// is for those by which rsync reads what a planted link leads to, or what a
	// client names inside the protocol; Everything for those by which it gives
	// modes and times there.
	needs Hold
	// drop says that the option is accepted and not passed on.
	drop bool
	// clamp is the largest value that is passed on, where there is one; zero
	// is refused then, since rsync takes it for unlimited.
	clamp int64
	// why says why a dangerous option is refused.
	why string
}

// What values may look like. No value but a path may hold a slash, so that none
// can become one.
var (
	anyPath     = regexp.MustCompile(`(?s)^.+$`)
	number      = regexp.MustCompile(`^\d{1,18}$`)
	signed      = regexp.MustCompile(`^-?\d{1,18}$`)
	size        = regexp.MustCompile(`^\d{1,18}(\.\d{1,9})?([KMGTP](i?B)?|[kmgtp](i?[Bb])?|[Bb])?([+-]1)?$`)
	algorithms  = regexp.MustCompile(`^[A-Za-z0-9_,.-]{1,128}$`)
	charset     = regexp.MustCompile(`^[A-Za-z0-9_.:,-]{1,128}$`)
	infoFlags   = regexp.MustCompile(`^[A-Za-z0-9,]{1,256}$`)
	logFormat   = regexp.MustCompile(`^(%i|%i%I|%o|X)$`)
	suffix      = regexp.MustCompile(`(?s)^[^/]{1,255}$`)
	suffixList  = regexp.MustCompile(`^[^\x00-\x1f/]*(/[^\x00-\x1f/]*){0,512}$`)
	batchMarker = regexp.MustCompile(`^X$`)
	stderrMode  = regexp.MustCompile(`^(errors|all|client|e|a|c)$`)
)

const (
	whyDaemon  = "no daemon runs here"
	whyProgram = "a client names no program here"
	whyLog     = "the gateway keeps the log"
	whyFilter  = "filters travel inside the protocol; stock clients do not send it"
	whyDevice  = "devices are never read or written here"
	whyBatch   = "batch files are never read or written here"
	whyGuard   = "it would switch a protection off"
	whyOwner   = "owners are not chosen by the client"
	whyDebug   = "it would tell about the gateway's own files"
	whyBanner  = "it only tells about the program"
)

// What one child may take of the host by an option of its own.
const (
	// maxAlloc is rsync's own default for --max-alloc, 1 GiB: an allocation
	// beyond it is an attack (CVE-2026-53794).
	maxAlloc = 1 << 30
	// maxThreads keeps one client from taking every core (CVE-2026-70455).
	maxThreads = 2
)

// longOptions are the options with a long name that a client can send, from the
// source of rsync's server_options (3.0.9 to 3.2.7) and the captured command
// lines of 3.2.7 and 3.5.0, and from openrsync's fargs.c, together with the ones
// that are refused with a reason of their own. What is not here is unknown and
// refused.
var longOptions = map[string]option{
	"append":              {class: overwrites, only: Push},
	"backup":              {class: overwrites, only: Push},
	"backup-dir":          {class: overwrites | writesPath, value: anyPath, only: Push},
	"block-size":          {value: number},
	"bwlimit":             {value: size},
	"checksum-choice":     {value: algorithms},
	"checksum-seed":       {value: signed},
	"compare-dest":        {class: readsPath, value: anyPath, only: Push},
	"compress-choice":     {value: algorithms},
	"compress-level":      {value: signed},
	"compress-threads":    {value: number, clamp: maxThreads},
	"copy-dest":           {class: readsPath, value: anyPath, only: Push},
	"copy-unsafe-links":   {needs: Contents, only: Pull},
	"delay-updates":       {class: overwrites, only: Push},
	"dirs":                {},
	"executability":       {},
	"existing":            {},
	"fake-super":          {class: overwrites, only: Push},
	"files-from":          {class: readsPath, value: anyPath, needs: Contents},
	"from0":               {},
	"fsync":               {},
	"fuzzy":               {},
	"groupmap":            {class: dangerous, value: anyPath, why: whyOwner},
	"iconv":               {value: charset},
	"ignore-errors":       {},
	"ignore-existing":     {},
	"ignore-missing-args": {},
	"ignore-non-existing": {},
	"ignore-times":        {},
	"info":                {value: infoFlags},
	"inplace":             {class: overwrites, only: Push},
	"link-dest":           {class: readsPath, value: anyPath, only: Push},
	"list-only":           {},
	"log-format":          {value: logFormat},
	"max-alloc":           {value: size, clamp: maxAlloc},
	"max-delete":          {value: signed},
	"max-size":            {value: size},
	"min-size":            {value: size},
	"mkpath":              {},
	"modify-window":       {value: signed},
	"msgs2stderr":         {},
	"munge-links":         {},
	"new-compress":        {},
	"no-W":                {},
	"no-dirs":             {},
	"no-implied-dirs":     {needs: Everything, only: Push},
	"no-msgs2stderr":      {},
	"no-r":                {},
	"no-relative":         {},
	"no-specials":         {},
	"no-super":            {},
	"numeric-ids":         {},
	"old-compress":        {},
	"only-write-batch":    {value: batchMarker},
	"open-noatime":        {},
	"out-format":          {value: anyPath, drop: true},
	"partial":             {},
	"partial-dir":         {class: overwrites | writesPath, value: anyPath, only: Push},
	"preallocate":         {},
	"progress":            {drop: true},
	"protect-args":        {drop: true},
	"recursive":           {},
	"relative":            {},
	"safe-links":          {},
	"secluded-args":       {drop: true},
	"size-only":           {},
	"skip-compress":       {value: suffixList},
	"specials":            {},
	"stats":               {},
	"stderr":              {value: stderrMode},
	"suffix":              {value: suffix},
	"super":               {drop: true},
	"temp-dir":            {class: writesPath, value: anyPath, only: Push},
	"timeout":             {value: number},
	"use-qsort":           {},
	"usermap":             {class: dangerous, value: anyPath, why: whyOwner},

	"delete":              {class: deletes},
	"delete-after":        {class: deletes},
	"delete-before":       {class: deletes},
	"delete-delay":        {class: deletes},
	"delete-during":       {class: deletes},
	"delete-excluded":     {class: deletes},
	"delete-missing-args": {class: deletes},
	"force":               {class: deletes},
	"remove-sent-files":   {class: deletes},
	"remove-source-files": {class: deletes},

	"address":            {class: dangerous, why: whyDaemon},
	"config":             {class: dangerous, why: whyDaemon},
	"confine-root":       {class: dangerous, why: whyGuard},
	"copy-as":            {class: dangerous, why: whyOwner},
	"copy-devices":       {class: dangerous, why: whyDevice},
	"chown":              {class: dangerous, why: whyOwner},
	"daemon":             {class: dangerous, why: whyDaemon},
	"debug":              {class: dangerous, why: whyDebug},
	"detach":             {class: dangerous, why: whyDaemon},
	"dparam":             {class: dangerous, why: whyDaemon},
	"early-input":        {class: dangerous, why: whyDaemon},
	"exclude":            {class: dangerous, why: whyFilter},
	"exclude-from":       {class: dangerous, why: whyFilter},
	"filter":             {class: dangerous, why: whyFilter},
	"help":               {class: dangerous, why: whyBanner},
	"include":            {class: dangerous, why: whyFilter},
	"include-from":       {class: dangerous, why: whyFilter},
	"insecure-links":     {class: dangerous, why: whyGuard},
	"log-file":           {class: dangerous, why: whyLog},
	"log-file-format":    {class: dangerous, why: whyLog},
	"no-detach":          {class: dangerous, why: whyDaemon},
	"no-drop-D":          {class: dangerous, why: whyGuard},
	"no-ignore-existing": {class: dangerous, why: whyGuard},
	"no-munge-links":     {class: dangerous, why: whyGuard},
	"password-file":      {class: dangerous, why: whyDaemon},
	"port":               {class: dangerous, why: whyDaemon},
	"read-batch":         {class: dangerous, why: whyBatch},
	"remote-option":      {class: dangerous, why: whyProgram},
	"rsh":                {class: dangerous, why: whyProgram},
	"rsync-path":         {class: dangerous, why: whyProgram},
	"sockopts":           {class: dangerous, why: whyDaemon},
	"trust-sender":       {class: dangerous, why: whyGuard},
	"version":            {class: dangerous, why: whyBanner},
	"write-batch":        {class: dangerous, why: whyBatch},
	"write-devices":      {class: dangerous, why: whyDevice},
}

// shortOptions are the letters of the one cluster that a client sends, such as
// -logDtpr; openrsync sends each by itself. None takes a value: -B and -@ stand
// in arguments of their own.
var shortOptions = map[byte]option{
	'8': {},
	'A': {class: overwrites, only: Push},
	'C': {needs: Contents},
	'D': {},
	'E': {},
	'H': {},
	'I': {},
	'J': {},
	'K': {needs: Everything, only: Push},
	'L': {needs: Contents},
	'N': {},
	'O': {},
	'R': {},
	'S': {},
	'U': {},
	'W': {},
	'X': {class: overwrites, only: Push},
	'b': {class: overwrites, only: Push},
	'c': {},
	'd': {},
	'g': {},
	'h': {},
	'k': {needs: Contents},
	'l': {},
	'm': {},
	'n': {},
	'o': {},
	'p': {},
	'q': {},
	'r': {},
	's': {drop: true},
	't': {},
	'u': {},
	'v': {},
	'x': {},
	'y': {},
	'z': {},
}
