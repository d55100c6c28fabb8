// Command load is the load generator: it reads a job, as JSON, from its standard input and writes notes to its standard
// output. One kind of job makes it a backend, which such a process starts for itself.
package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/load"
)

func main() {
	debug.SetGCPercent(400) // memory is cheaper here than the server's processors
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	notes := json.NewEncoder(os.Stdout)
	note := func(n job.Note) {
		if err := notes.Encode(n); err != nil {
			slog.Error("nobody is listening", "error", err)
			os.Exit(1)
		}
	}
	var j job.Job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		note(job.Note{Error: "reading the job: " + err.Error()})
		return
	}
	if j.Kind == job.Backend {
		note(job.Note{Error: load.Answer(ctx, &j, note).Error()})
		return
	}
	var figures job.Figures
	var err error
	if j.Kind == job.Soak {
		figures, err = load.Soak(ctx, &j, note)
	} else {
		figures, err = load.Run(ctx, &j, func() { note(job.Note{Connected: true}) })
	}
	if err != nil {
		note(job.Note{Error: err.Error()})
		return
	}
	note(job.Note{Figures: figures})
}
