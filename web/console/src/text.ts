// Lists of names in text fields: one a line, since names may contain commas and spaces.

/** Returns the names in a text, each once. */
export const names = (text: string): string[] => [...new Set(text.split('\n').map((line) => line.trim()).filter(Boolean))];
