package audit

// served counts what a borg client asked for.
func (run *running) served(r Record, asked bool) {
	did := operationsOf(r.Line)
	run.operations(did)
	c := run.habits
	day := c.day(r.Time)
	if day.Objects == nil {
		day.Objects = &ObjectCounts{}
	}
	for _, repository := range did.Repositories {
		put, deleted := repository.Methods["put"], repository.Methods["delete"]
		day.Objects.Put += put
		day.Objects.Deleted += deleted
		day.largest(objectsDeleted, deleted, r)
		for _, event := range []struct{ kind, method string }{{RepositoryDeleted, "destroy"}, {LockBroken, "break_lock"}} {
			if asked && repository.Methods[event.method] > 0 {
				c.standsOut(Standout{Kind: event.kind, Value: repository.Path}, r)
			}
		}
	}
}

// ended counts a session that is over.
func (run *running) ended(r Record) {
	day := run.habits.day(r.Time)
	day.Sessions++
	switch {
	case !run.well(r):
		day.Failed++
	case run.good(r):
		day.Backups++
	}
	day.In += r.In
	day.Out += r.Out
	files := r.Files()
	if files == nil {
		return
	}
	if day.Files == nil {
		day.Files = &FileCounts{}
	}
	day.Files.add(*files)
	day.largest(filesDeleted, files.Deleted, r)
	day.largest(filesChanged, files.Changed, r)
}

// add sums up.
func (n *FileCounts) add(more FileCounts) {
	n.Created += more.Created
	n.Changed += more.Changed
	n.Deleted += more.Deleted
	n.Sent += more.Sent
	n.Unrecorded += more.Unrecorded
}
