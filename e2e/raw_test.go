package e2e

func rawMain() {}
