package process

import (
	"os"
	"testing"
	"time"
)

func TestCPUGrowsWithWork(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 30*time.Millisecond; {
	}
	after, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used < 5*time.Millisecond || used > time.Second {
		t.Errorf("30 ms of work used %v", used)
	}
}

func TestRSSGrowsWithMemory(t *testing.T) {
	const size = 64 << 20
	before, err := RSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	after, err := RSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size*9/10 || grown > size*3 {
		t.Errorf("%d bytes of memory grew the process by %d", size, grown)
	}
	if block[4096] != 1 {
		t.Error("the block must stay alive until here")
	}
}

func TestNoProcess(t *testing.T) {
	if _, err := CPU(1 << 22); err == nil {
		t.Error("CPU found a process that can't exist")
	}
	if _, err := RSS(1 << 22); err == nil {
		t.Error("RSS found a process that can't exist")
	}
}
