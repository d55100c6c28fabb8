package main

import (
	"context"
	"database/sql"
	"slices"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

// message is a chat message in the form that clients get.
type message struct {
	ID   int64  `json:"id"`
	Room string `json:"room"`
	User string `json:"user"`
	Text string `json:"text"`
	At   int64  `json:"at"` // Unix time in milliseconds
}

// store keeps the messages.
type store struct{ *sql.DB }

func openStore(ctx context.Context, file string) (*store, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(3000)")
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS messages (
			id INTEGER PRIMARY KEY, delivery TEXT UNIQUE, room TEXT NOT NULL, user TEXT NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL
		);
		CREATE INDEX IF NOT EXISTS by_room ON messages (room, id)`)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &store{db}, nil
}

// add stores a message and returns it with its id. If this delivery is already stored,
// it returns the stored id and time instead.
func (s *store) add(ctx context.Context, delivery string, m message) (message, error) {
	row := s.QueryRowContext(ctx, `
		INSERT INTO messages (delivery, room, user, text, at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (delivery) DO UPDATE SET delivery = delivery RETURNING id, at`,
		delivery, m.Room, m.User, m.Text, m.At)
	err := row.Scan(&m.ID, &m.At)
	return m, err
}

// last returns the last 50 messages of a room, oldest first.
func (s *store) last(ctx context.Context, room string) ([]message, error) {
	rows, err := s.QueryContext(ctx, `SELECT id, room, user, text, at FROM messages WHERE room = ? ORDER BY id DESC LIMIT 50`, room)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []message{} // not nil: clients get [] instead of null
	for rows.Next() {
		var m message
		if err := rows.Scan(&m.ID, &m.Room, &m.User, &m.Text, &m.At); err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	slices.Reverse(found)
	return found, rows.Err()
}
