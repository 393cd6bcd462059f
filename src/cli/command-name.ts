/** How this very copy of the command is called: the hints that it prints are meant to be pasted. */
export const COMMAND = import.meta.filename.endsWith('.ts') ? 'npm run -s postern --' : 'postern';
