package forward

import "sync"

// lanes run tasks. Those of one key run one after another, in order; those of different keys run at
// the same time, up to the limit. Whoever adds tasks bounds how many there are.
type lanes struct {
	slots chan struct{}

	mu      sync.Mutex
	waiting map[string][]func() // a key is there while one of its tasks runs
	idle    *sync.Cond          // signalled when waiting has become empty
}

func newLanes(limit int) *lanes {
	l := &lanes{slots: make(chan struct{}, limit), waiting: map[string][]func(){}}
	l.idle = sync.NewCond(&l.mu)
	return l
}

// add runs the task after those of its key. It doesn't wait.
func (l *lanes) add(key string, task func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tasks, busy := l.waiting[key]; busy {
		l.waiting[key] = append(tasks, task)
		return
	}
	l.waiting[key] = nil
	go l.run(key, task)
}

func (l *lanes) run(key string, task func()) {
	for task != nil {
		l.slots <- struct{}{}
		task()
		<-l.slots
		task = l.next(key)
	}
}

// next takes the next task of a key, or closes its lane.
func (l *lanes) next(key string) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	tasks := l.waiting[key]
	if len(tasks) > 0 {
		l.waiting[key] = tasks[1:]
		return tasks[0]
	}
	delete(l.waiting, key)
	if len(l.waiting) == 0 {
		l.idle.Broadcast()
	}
	return nil
}

// wait returns when no task runs or waits.
func (l *lanes) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 {
		l.idle.Wait()
	}
}
