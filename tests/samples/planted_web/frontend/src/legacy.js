import React from "react";

export const Legacy = () => <p>JSX in a plain .js file</p>;
