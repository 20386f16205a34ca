declare module '*.svg' {
  /** The name of the built file, relative to the script. */
  const name: string;
  export default name;
}
declare module '*.css';
